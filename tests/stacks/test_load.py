# ruff: noqa: E501 - a table of mistakes reads best one to a line
"""The spec file: what is right loads completely, what is wrong is told all at once with line and path."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from infra.capabilities import Capability
from infra.targets.fakes import FakeTarget
from infra.targets.kserve.target import KServe
from infra.targets.sagemaker.target import SageMaker
from modelpack.errors import BadInput
from stacks.reading.load import load, schema
from stacks.reading.rules import ASKED
from stacks.spec import KnownNames, Spec

KNOWN = KnownNames(
    usecases=frozenset({"recommendation", "fraud"}),
    targets={"sagemaker": SageMaker(), "fake": FakeTarget()},
    passes=frozenset({"onnx", "int8", "embedding-int8"}),
    pool_instances=frozenset({"g6.xlarge", "g5.xlarge"}),
)

GOOD = """\
version: 1
service: shop-recs
usecase: recommendation
model:
  train: {epochs: 3}
pack:
  passes: [embedding-int8, onnx, int8]
  gate: {metric_drop: 0.01}
serve:
  target: sagemaker
  instance: ml.c7i.xlarge
scale:
  min: 1
  max: 20
  target_rps: 120
  schedule:
    - {name: double-11, from: 2026-11-10T20:00+08:00, to: 2026-11-12T02:00+08:00, min: 12}
rollout: {strategy: all-at-once, alarms: {error_rate: 0.02}}
platform: {gpu_pools: [{name: g6, instances: [g6.xlarge, g5.xlarge], min: 0, max: 4, capacity: spot}]}
environments:
  local: {cloud: local}
  prod:
    cloud: aws
    account: "123456789012"
    region: eu-central-1
    state: s3://shop-ml-state
    secrets: awskms://alias/ecomdeploy
    scale: {min: 4}
"""


def write(folder: Path, text: str | bytes) -> Path:
    file = folder / "ecomdeploy.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def complaints(folder: Path, text: str | bytes, environment: str = "local") -> list[str]:
    """Problems as "line: path: what (hint)"."""
    with pytest.raises(BadInput) as error:
        load(write(folder, text), environment, KNOWN)
    assert error.value.exit_code == 2
    assert all(problem.where.startswith(str(folder)) for problem in error.value.problems)
    return [str(problem).removeprefix(f"{folder}/ecomdeploy.yaml:") for problem in error.value.problems]


def test_the_design_example_loads_completely(tmp_path: Path) -> None:
    spec = load(write(tmp_path, GOOD), "local", KNOWN)
    assert spec.name == "shop-recs-local"
    assert spec.pack.passes == ("embedding-int8", "onnx", "int8")
    assert spec.pack.gate.metric_drop == 0.01
    assert spec.model.train is not None
    assert spec.model.train.epochs == 3
    assert spec.scale.schedule[0].start.isoformat() == "2026-11-10T20:00:00+08:00"
    assert spec.platform.gpu_pools[0].capacity == "spot"
    assert (spec.environment.cloud, spec.environment.account) == ("local", "123456789012")


def test_an_environment_overlays_key_by_key(tmp_path: Path) -> None:
    spec = load(write(tmp_path, GOOD), "prod", KNOWN)
    assert (spec.scale.min, spec.scale.max, spec.scale.target_rps) == (4, 20, 120)
    assert spec.environment.region == "eu-central-1"
    assert spec.environment.state == "s3://shop-ml-state"


def test_what_a_short_file_leaves_out_is_left_to_the_use_case(tmp_path: Path) -> None:
    spec = load(write(tmp_path, "version: 1\nservice: a\nusecase: recommendation\n"), "local", KNOWN)
    assert (spec.pack.passes, spec.model.train) == (None, None)
    assert spec.serve.instance == "ml.c7i.xlarge"


@pytest.mark.parametrize(
    ("asked", "target", "complaint"),
    [
        (
            "scale: {min: 0}",
            "sagemaker",
            "4: scale.min: sagemaker cannot scale to zero: an endpoint of this kind keeps",
        ),
        ("scale: {min: 0}", "fake", None),
        ("scale: {min: 1}", "sagemaker", None),
        (
            "serve: {ami: x, instance: g6.xlarge}",
            "fake",
            "4: serve.ami: fake cannot choose a host image: its pools choose",
        ),
        ("serve: {ami: al2023-ami-sagemaker-inference-gpu-4-1, instance: ml.g6.xlarge}", "sagemaker", None),
    ],
)
def test_what_a_target_lacks_is_refused_with_line_and_reason(
    tmp_path: Path, asked: str, target: str, complaint: str | None
) -> None:
    serve = "" if asked.startswith("serve") else f"serve: {{target: {target}, instance: INSTANCE}}\n"
    asked = asked.replace("serve: {", f"serve: {{target: {target}, ")
    text = f"version: 1\nservice: a\nusecase: fraud\n{asked}\n{serve}"
    text = text.replace("INSTANCE", "ml.c7i.xlarge" if target == "sagemaker" else "g6.xlarge")
    if complaint is None:
        assert load(write(tmp_path, text), "local", KNOWN).serve.target == target
    else:
        assert [line[: len(complaint)] for line in complaints(tmp_path, text)] == [complaint]


KSERVE = """\
version: 1
service: shop
usecase: fraud
serve: {target: kserve}
"""


def on_kserve(folder: Path, text: str) -> list[str]:
    """What is told of a spec for the real target."""
    known = replace(KNOWN, targets={**KNOWN.targets, "kserve": KServe()})
    try:
        load(write(folder, text), "local", known)
    except BadInput as error:
        return [str(one).removeprefix(f"{folder}/ecomdeploy.yaml:") for one in error.problems]
    return []


def test_a_target_s_own_instance_is_filled_in(tmp_path: Path) -> None:
    known = replace(KNOWN, targets={**KNOWN.targets, "kserve": KServe()})
    file = write(tmp_path, KSERVE)
    assert load(file, "local", known).serve.instance == "c7i.xlarge"
    write(tmp_path, KSERVE.replace("{target: kserve}", "{target: kserve, instance: g6.xlarge}"))
    assert load(file, "local", known).serve.instance == "g6.xlarge"
    write(tmp_path, KSERVE.replace("kserve", "sagemaker"))
    assert load(file, "local", known).serve.instance == "ml.c7i.xlarge"


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ("scale: {min: 0}", "5: scale.min: kserve cannot scale to zero: nothing there holds a request"),
        ("scale: {target_rps: 9}", None),
        ("scale: {max: 9, target_concurrency: 2}", "5: scale.target_concurrency: kserve cannot scale by requests under way: servers do not tell"),
        ("scale: {min: 1, max: 9, schedule: [{name: a, from: 2026-11-10T20:00Z, to: 2026-11-11T20:00Z, min: 2}]}", None),
        ("scale: {target_rps: 9}\nenvironments: {local: {cloud: cluster, context: a, registry: r.io/a}}", "5: scale.target_rps: requests are counted by Prometheus, and the environment names none"),
        ("rollout: {alarms: {topic: own}}", "5: rollout.alarms.topic: kserve cannot tell an SNS topic of alarms: no SNS is there"),
        ("rollout: {strategy: rolling}", "5: rollout.strategy: kserve cannot replace servers in batches: all servers of both"),
        ("environments: {prod: {cloud: aws, account: '123456789012', region: us-east-1}}", "5: environments.prod.cloud: kserve cannot run on AWS: the platform's cluster"),
        ("environments: {local: {cloud: local, namespace: Shop}}", "5: environments.local.namespace: expected at most 63 of a-z"),
        ("environments: {local: {cloud: local, namespace: the-namespace-of-all-shops}}", None),
        ("environments: {local: {cloud: local, namespace: the-namespace-of-all-of-our-many-shops}}", "2: service: shop-local is too long for kserve in the namespace the-namespace-of-all-of-our-many-shops: at most 5"),
    ],
)  # fmt: skip
def test_what_a_cluster_cannot_do_yet_is_refused_at_its_line(
    tmp_path: Path, more: str, complaint: str | None
) -> None:
    told = on_kserve(tmp_path, KSERVE + more + "\n")
    assert [line[: len(complaint or "")] for line in told] == ([complaint] if complaint else [])


@pytest.mark.parametrize("place", ["ssm: /a/b", "secretsmanager: a"])
def test_pods_look_nothing_up_in_aws(tmp_path: Path, place: str) -> None:
    text = KSERVE.replace("kserve}", f"kserve, environment: {{A: {{secret: {{{place}}}}}}}}}")
    (told,) = on_kserve(tmp_path, text)
    key = place.partition(":")[0]
    assert told.startswith(f"4: serve.environment.A.secret.{key}: kserve cannot look secrets up in AWS")
    assert on_kserve(tmp_path, text.replace(place, "env: A")) == []


def test_a_variable_that_is_neither_text_nor_a_secret_is_told_once_and_by_its_own_name(
    tmp_path: Path,
) -> None:
    (told,) = on_kserve(tmp_path, KSERVE.replace("kserve}", "kserve, environment: {A: 1}}"))
    assert told == "4: serve.environment.A: expected text in quotes, got 1"
    both = on_kserve(tmp_path, KSERVE.replace("kserve}", "kserve, environment: {str: {scret: {env: A}}}}"))
    assert both == [
        "4: serve.environment.str.secret: is missing",
        "4: serve.environment.str.scret: unknown key (did you mean secret?)",
    ]


def test_sagemaker_has_no_namespaces(tmp_path: Path) -> None:
    text = KSERVE.replace("kserve", "sagemaker") + "environments: {local: {cloud: local, namespace: shop}}\n"
    (told,) = complaints(tmp_path, text)
    assert told.startswith("5: environments.local.namespace: sagemaker cannot be in a namespace")


@pytest.mark.parametrize(
    "strategy", ["blue-green", "canary", "canary, canary: {steps: [5, 20, 50]}", "linear"]
)
def test_a_cluster_moves_traffic_in_steps_where_it_has_a_prometheus(tmp_path: Path, strategy: str) -> None:
    text = f"{KSERVE}rollout: {{strategy: {strategy}}}\n"
    assert on_kserve(tmp_path, text) == []
    place = "environments: {local: {cloud: cluster, context: a, registry: r.io/a%s}}\n"
    (told,) = on_kserve(tmp_path, text + place % "")
    assert told.startswith("5: rollout.strategy: ")
    assert "no environment's Prometheus is named" in told
    assert on_kserve(tmp_path, text + place % ", prometheus: monitoring/prometheus-server:80") == []
    (told,) = on_kserve(tmp_path, text + place % ", prometheus: ftp://a")
    assert "expected NAMESPACE/SERVICE:PORT, or a URL, got 'ftp://a'" in told


def test_a_strategy_has_its_own_settings_and_short_ways_to_write_a_bake(tmp_path: Path) -> None:
    text = GOOD.replace("strategy: all-at-once", "strategy: canary, canary: {bake: 6m}, linear: {bake: 10}")
    text += "    rollout: {strategy: blue-green, blue-green: {bake: 1h}}\n"
    file = write(tmp_path, text)
    canary = load(file, "local", KNOWN).rollout.policy(("a",), keep_capacity=False)
    assert (canary.strategy, canary.shares, canary.bake, canary.alarms) == ("canary", (10, 100), 360, ("a",))
    prod = load(file, "prod", KNOWN).rollout.policy(("a",), keep_capacity=False)
    assert (prod.strategy, prod.shares, prod.bake) == ("blue-green", (100,), 3600)


def test_every_capability_is_asked_for_by_a_key() -> None:
    assert {capability for capability, _, _ in ASKED} == set(Capability)


def test_an_instance_is_its_target_s_own(tmp_path: Path) -> None:
    start = "version: 1\nservice: a\nusecase: fraud\nserve: {target: fake"
    (told,) = complaints(tmp_path, f"{start}, instance: ml.c7i.xlarge}}\n")
    assert told.startswith("4: serve.instance: unknown instance type 'ml.c7i.xlarge'")
    (told,) = complaints(tmp_path, f"{start}}}\n")
    assert told.startswith("4: serve.target: needs serve.instance: fake has no ml.c7i.xlarge, the default")


def test_a_list_with_a_wrong_entry_is_not_called_empty(tmp_path: Path) -> None:
    text = "version: 1\nservice: a\nusecase: fraud\nrollout: {strategy: canary, canary: {steps: [60]}}\n"
    (told,) = complaints(tmp_path, text)
    assert told == "4: rollout.canary.steps[0]: must be at most 50, got 60"


def test_a_plug_in_by_path_is_left_to_its_catalog(tmp_path: Path) -> None:
    text = "version: 1\nservice: a\nusecase: ./shop.py:ShopRecs\n"
    assert load(write(tmp_path, text), "local", KNOWN).usecase == "./shop.py:ShopRecs"


CASES: list[tuple[str, str, str]] = [
    ("max: 20", "max: 0", "14: scale.max: must be at least 1, got 0"),
    ("  min: 1\n  max: 20", "  min: 2\n  max: 0", "14: scale.max: 0 is below scale.min: 2"),
    ("strategy: all-at-once", "freeze: [{name: a, from: 2026-12-18T00:00, to: 2027-01-04T00:00+08:00}]", "18: rollout.freeze[0].from: needs its offset from UTC"),
    ("strategy: all-at-once", "freeze: [{name: a, from: 2026-12-18T00:00Z, to: 2026-12-04T00:00Z}]", "18: rollout.freeze[0].to: 2026-12-04T00:00Z is not after"),
    ("strategy: all-at-once", "freeze: 2026-12-18", "18: rollout.freeze: expected a list, like [a, b]"),
    ("strategy: all-at-once", "sale_days: maybe", "18: rollout.sale_days: expected 'refuse' or 'allow', got 'maybe'"),
    ("  max: 20", "  max: 5", "14: scale.max: 5 is below scale.schedule[0].min: 12"),
    ("target: sagemaker", "network: {subnets: [" + ", ".join(f"subnet-{one:08x}" for one in range(17)) + "], security_groups: [sg-00000000]}", "10: serve.network.subnets: takes at most 16 entries, got a list"),
    ("min: 1\n", "min: -1\n", "13: scale.min: must be at least 0, got -1"),
    ("max: 20", 'max: "20"', "14: scale.max: expected a whole number, got '20'"),
    ("max: 20", "max: 2.5", "14: scale.max: expected a whole number, got 2.5"),
    ("max: 20", "max: true", "14: scale.max: expected a whole number, got true"),
    ("max: 20", "max:", "14: scale.max: expected a whole number, got nothing"),
    ("target_rps: 120", "target_rps: .nan", "15: scale.target_rps: expected a finite number, got nan"),
    ("target_rps", "target_rp", "15: scale.target_rp: unknown key (did you mean target_rps?)"),
    ("model:\n", "modle:\n", "4: modle: unknown key (did you mean model?)"),
    ("environments:\n", "environment:\n", "20: environment: unknown key (did you mean environments?)"),
    ("service: shop-recs\n", "", "1: service: is missing"),
    ("shop-recs", "Shop_Recs", "2: service: expected at most 40 of a-z, 0-9 and single dashes, got 'Shop_Recs'"),
    ("shop-recs", "9shop", "2: service: expected at most 40 of a-z, 0-9 and single dashes, got '9shop'"),
    ("shop-recs", "sh\u043ep", "2: service: expected at most 40 of a-z, 0-9 and single dashes, got 'sh\u043ep'"),
    ("shop-recs", "a" * 41, "2: service: expected at most 40"),
    ("recommendation", "recomendation", "3: usecase: unknown use case 'recomendation' (did you mean recommendation?)"),
    ("target: sagemaker", "target: sagemakr", "10: serve.target: unknown target 'sagemakr' (did you mean sagemaker?)"),
    ("ml.c7i.xlarge", "ml.c7i.xlargee", "11: serve.instance: unknown instance type 'ml.c7i.xlargee'"),
    ("ml.c7i.xlarge", "g5.xlarge", "11: serve.instance: unknown instance type 'g5.xlarge' (did you mean ml.g5.xlarge?)"),
    ("ml.c7i.xlarge", "ml.t2.xlarge", "11: serve.instance: ml.t2.xlarge cannot scale automatically: it is burstable"),
    ("onnx, int8]", "onnx, int9]", "7: pack.passes[2]: unknown pass 'int9' (did you mean int8?)"),
    ("[embedding-int8, onnx, int8]", "onnx", "7: pack.passes: expected a list, like [a, b], got 'onnx'"),
    ("{epochs: 3}", "{epochs: 3}\n  path: m.onnx", "6: model.path: is given together with model.train"),
    ("{epochs: 3}", "3", "5: model.train: expected keys and values, like {key: value}, got 3"),
    ("all-at-once", "shadow, shadow: {bake: 2m}", "18: rollout.shadow.bake: no alarm can ring within 2m: it takes 5m"),
    ("all-at-once", "shadow, shadow: {then: canary}, canary: {bake: 2m}", "18: rollout.canary.bake: no alarm can ring within 2m"),
    ("all-at-once", "shadow, shadow: {then: rolling}", "18: rollout.shadow.then: expected 'all-at-once', 'blue-green', 'canary' or 'linear', got 'rolling'"),
    ("all-at-once", "shadow, shadow: {share: 0}", "18: rollout.shadow.share: must be at least 1, got 0"),
    ("all-at-once, alarms: {error_rate: 0.02}", "shadow, alarms: {error_rate: null}", "18: rollout.alarms: nothing watches the bakes of shadow"),
    ("all-at-once", "allatonce", "18: rollout.strategy: expected 'all-at-once', 'blue-green', 'canary', 'linear', 'rolling', 'auto' or 'shadow', got 'allatonce'"),
    ("all-at-once", "canary, canary: {bake: 2m}", "18: rollout.canary.bake: no alarm can ring within 2m: it takes 5m (2 x 60 s, and 180 s until the last is there) (bake: 5m)"),
    ("all-at-once", "blue-green, blue-green: {bake: 179}", "18: rollout.blue-green.bake: no alarm can ring within 179s"),
    ("all-at-once, alarms: {error_rate: 0.02}", "linear, alarms: {error_rate: 0.02, periods: 6}", "18: rollout.strategy: no alarm can ring within 5m: it takes 9m"),
    ("all-at-once, alarms: {error_rate: 0.02}", "rolling, alarms: {error_rate: null}", "18: rollout.alarms: nothing watches the bakes of rolling (alarms: {error_rate: 0.01})"),
    ("all-at-once", "linear, linear: {step: 10, bake: 1h}", "18: rollout.linear.bake: 10 bakes of 60m and deadline_minutes are 630m together: at most 480m (shorter bakes or larger steps)"),
    ("all-at-once", "canary, canary: {steps: [10, 50]}", "18: rollout.canary.steps: sagemaker cannot move traffic by canary in several steps: its guardrails move one share"),
    ("all-at-once", "canary, canary: {steps: [60]}", "18: rollout.canary.steps[0]: must be at most 50, got 60"),
    ("all-at-once", "canary, canary: {steps: []}", "18: rollout.canary.steps: needs at least 1 entry"),
    ("all-at-once", "linear, linear: {step: 5}", "18: rollout.linear.step: must be at least 10, got 5"),
    ("all-at-once", "rolling, rolling: {batch: 51}", "18: rollout.rolling.batch: must be at most 50, got 51"),
    ("all-at-once", "rolling, rolling: {bake: soon}", "18: rollout.rolling.bake: expected a time like 90s, 5m or 48h, or seconds, got 'soon'"),
    ("all-at-once", "canary, canary: {bake: 2h}", "18: rollout.canary.bake: must be at most 3600"),
    ("error_rate: 0.02", "topic: on-call", "18: rollout.alarms.topic: expected own or the ARN of an SNS topic, got 'on-call' (own makes one for the service)"),
    ("error_rate: 0.02", "error_rte: 1", "18: rollout.alarms.error_rte: unknown key (did you mean error_rate?)"),
    ("min: 0, max: 4", "min: 5, max: 4", "19: platform.gpu_pools[0].max: 4 is below platform.gpu_pools[0].min: 5"),
    (
        "capacity: spot",
        "image: al2023, sharing: {by: mps, parts: 2}",
        "19: platform.gpu_pools[0].sharing: needs a device plugin in the image, and al2023 has none",
    ),
    (
        "capacity: spot",
        "sharing: {by: mig, parts: 5}",
        "19: platform.gpu_pools[0].sharing.parts: MIG does not make 5 parts",
    ),
    (
        "capacity: spot",
        "sharing: {by: mig, parts: 2}",
        "19: platform.gpu_pools[0].instances[0]: the L4 of g6.xlarge cannot be partitioned",
    ),
    (
        "min: 0, max: 4",
        "min: 1, max: 4, by: karpenter",
        "19: platform.gpu_pools[0].min: Karpenter brings nodes for pods that wait, and has no min of them",
    ),
    (
        "min: 0, max: 4",
        "max: 4, desired: 2, by: karpenter",
        "19: platform.gpu_pools[0].desired: Karpenter brings nodes for pods that wait, and has no desired of them",
    ),
    (
        "min: 0, max: 4",
        "max: 4, idle_minutes: 9",
        "19: platform.gpu_pools[0].idle_minutes: only Karpenter lets empty nodes go",
    ),
    ("capacity: spot", "by: hand", "19: platform.gpu_pools[0].by: expected 'node-group' or 'karpenter', got 'hand'"),
    ("capacity: spot", "sharing: {by: turns, parts: 1}", "19: platform.gpu_pools[0].sharing.by: expected"),
    ("capacity: spot", "capacity: sport", "19: platform.gpu_pools[0].capacity: expected 'spot' or 'on-demand'"),
    ("[g6.xlarge,", "[g6.xlrge,", "19: platform.gpu_pools[0].instances[0]: unknown GPU instance type 'g6.xlrge'"),
    ("[g6.xlarge, g5.xlarge]", "[]", "19: platform.gpu_pools[0].instances: needs at least 1 entry"),
    ("T20:00+08:00", "T20:00", "17: scale.schedule[0].from: needs its offset from UTC"),
    ("2026-11-12T02", "2026-11-09T02", "17: scale.schedule[0].to: 2026-11-09T02:00+08:00 is not after"),
    ("name: double-11, ", "", "17: scale.schedule[0].name: is missing"),
    ("from: 2026-11-10T20:00+08:00", "from: soon", '17: scale.schedule[0].from: expected a date and time like'),
    ("platform: {", "governance: {tags: {\"ecomdeploy:owner\": me}}\nplatform: {", "19: governance.tags.ecomdeploy:owner: 'ecomdeploy:owner' is no key for a tag of yours"),
    ("platform: {", "governance: {tags: {team: \"a*b\"}}\nplatform: {", "19: governance.tags.team: 'a*b' is no value for a tag"),
    ("platform: {", "governance: {tags: {team: 7}}\nplatform: {", "19: governance.tags.team: expected text in quotes, got 7"),
    ("platform: {", "governance: {monthly_budget: {usd: 0, emails: [a@b.c]}}\nplatform: {", "19: governance.monthly_budget.usd: "),
    ("platform: {", "governance: {monthly_budget: {usd: 500}}\nplatform: {", "19: governance.monthly_budget: nobody is told"),
    ("platform: {", "governance: {monthly_budget: {usd: 500, emails: [nobody]}}\nplatform: {", "19: governance.monthly_budget.emails[0]: expected an address, got 'nobody'"),
    ("platform: {", "governance: {monthly_budget: {usd: 500, topics: [x]}}\nplatform: {", "19: governance.monthly_budget.topics[0]: expected the ARN of a topic, got 'x'"),
    ("platform: {", "governance: {pipeline: {issuer: github}}\nplatform: {", "19: governance.pipeline.repository: is missing"),
    ("platform: {", "governance: {pipeline: {issuer: github, repository: shop}}\nplatform: {", "19: governance.pipeline.repository: expected ORG/REPO, got 'shop'"),
    ("platform: {", "governance: {pipeline: {issuer: github, repository: org/*}}\nplatform: {", "19: governance.pipeline.repository: expected ORG/REPO, got 'org/*'"),
    ("platform: {", "governance: {pipeline: {issuer: gitlab, repository: a/b, environment: prod}}\nplatform: {", "19: governance.pipeline.environment: only a token of GitHub names one"),
    ("platform: {", "governance: {pipeline: {issuer: \"https://x\", repository: a/b}}\nplatform: {", "19: governance.pipeline.issuer: expected github, gitlab, or a host"),
    ("platform: {", "governance: {permissions_boundary: \"arn:aws:iam::123456789012:role/x\"}\nplatform: {", "19: governance.permissions_boundary: expected the ARN of a managed policy"),
    ("local: {cloud: local}", "local: {cloud: lokal}", "21: environments.local.cloud: expected 'local', 'aws' or 'cluster', got 'lokal'"),
    ("local: {cloud: local}", 'local: {cloud: local, acount: "1"}', "21: environments.local.acount: unknown key (did you mean account?)"),
    ("local: {cloud: local}", "local: {cloud: local, name: x}", "21: environments.local.name: unknown key"),
    ("local: {cloud: local}", "local: 3", "21: environments.local: expected keys and values"),
    ('"123456789012"', "123456789012", "24: environments.prod.account: expected text in quotes, got 123456789012"),
    ('"123456789012"', '"12345"', "24: environments.prod.account: expected 12 digits in quotes, got '12345'"),
    ("    region: eu-central-1\n", "", "22: environments.prod: an AWS environment needs region"),
    ("s3://shop", "gs://shop", "26: environments.prod.state: expected s3://..., got 'gs://shop-ml-state'"),
    ("shop-ml-state", "shop-recs-prod-123456789012/a", "26: environments.prod.state: shop-recs-prod-123456789012 is the bucket of"),
    ("scale: {min: 4}", "scale: {min: 21}", "14: scale.max: 20 is below environments.prod.scale.min: 21"),
    ("scale: {min: 4}", "skale: {min: 4}", "28: environments.prod.skale: unknown key (did you mean scale?)"),
    ("version: 1", "version: 2", "1: version: must be at most 1, got 2"),
    ("version: 1", "version: 1\nversion: 1", "2: version: is there twice; the first is in line 1"),
    ("{epochs: 3}", "&a {epochs: 3}\nserve: *a", "aliases (*name) are not read here"),
    ("shop-recs", "!!python/object:os.system shop", "2: service: the tag tag:yaml.org,2002:python/object:os.system"),
    ("usecase: recommendation", "usecase: recommendation\n3: x", "4: 3: unknown key"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "complaint"), CASES, ids=[case[2][:60] for case in CASES])
def test_one_mistake_is_told_with_line_path_and_what_was_expected(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    assert old in GOOD
    told = complaints(tmp_path, GOOD.replace(old, new, 1))
    assert any(line.startswith(complaint) or complaint in line for line in told), told


def test_all_mistakes_come_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    text = GOOD.replace("shop-recs", "Shop").replace("max: 20", "max: 0").replace("epochs: 3", "epocs: 3")
    told = complaints(tmp_path, text)
    lines = [int(line.split(":")[0]) for line in told]
    assert lines == sorted(lines)
    assert {2, 5, 14} <= set(lines)


def test_an_unknown_environment_lists_the_known_ones(tmp_path: Path) -> None:
    (told,) = complaints(tmp_path, GOOD, "prd")
    assert told == "20: environments: no environment 'prd' (did you mean prod?)"


def test_a_missing_file_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"there is no ecomdeploy\.yaml here") as error:
        load(tmp_path / "ecomdeploy.yaml", "local", KNOWN)
    assert error.value.hint == "ecomdeploy init recommendation shop"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "1: expected keys and values"),
        ("- a\n- b\n", "1: expected keys and values"),
        ("service: shop\n\tusecase: x\n", "2: not valid YAML"),
        ("service: [shop\nusecase: x\n", "not valid YAML"),
        ("service: a: b\n", "1: not valid YAML"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        (b"service: \xff\xfe\n", "1: is not UTF-8 text here"),
        (b"service: a\x00b\n", "not valid YAML"),
        ("a: " + "x" * 1_000_001, "spec has at most 1,000,000"),
    ],
)
def test_what_is_no_yaml_is_said_without_a_traceback(
    tmp_path: Path, text: str | bytes, complaint: str
) -> None:
    assert any(complaint in line for line in complaints(tmp_path, text))


def test_windows_line_ends_and_a_byte_order_mark_are_fine(tmp_path: Path) -> None:
    text = b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()
    assert load(write(tmp_path, text), "prod", KNOWN).scale.min == 4


def test_a_search_for_passes_is_one_word_and_its_budget_a_duration(tmp_path: Path) -> None:
    start = "version: 1\nservice: a\nusecase: fraud\npack: {passes: auto, budget: "
    for written, seconds in (("3m", 180), ("90s", 90), ("1.5h", 5400), ("20", 20)):
        pack = load(write(tmp_path, f"{start}{written}}}\n"), "local", KNOWN).pack
        assert (pack.automatic, pack.budget, pack.objective) == (True, seconds, "throughput")
    for wrong, words in (
        ("3 minutes", "expected a time like 90s, 5m or 48h, or seconds, got '3 minutes'"),
        ("0s", "more than 0"),
    ):
        with pytest.raises(BadInput, match=words):
            load(write(tmp_path, f"{start}{wrong}}}\n"), "local", KNOWN)
    with pytest.raises(BadInput, match="auto stands alone"):
        load(write(tmp_path, f"{start}3}}\n".replace("auto", "[auto, int8]")), "local", KNOWN)


def test_the_schema_accepts_what_the_loader_accepts(tmp_path: Path) -> None:
    from ruamel.yaml import YAML

    document = YAML(typ="safe", pure=True).load(GOOD)
    described = schema()
    jsonschema.Draft202012Validator.check_schema(described)
    jsonschema.validate(json.loads(json.dumps(document, default=str)), described)
    for passes, budget in (("auto", "3m"), (["onnx"], 20), (None, 1.5)):
        jsonschema.validate({**document, "pack": {"passes": passes, "budget": budget}}, described)
    for wrong in ({"modle": 1}, {"pack": {"passes": "int8"}}, {"pack": {"budget": "soon"}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**document, **wrong}, described)


scalars = st.none() | st.booleans() | st.integers(-10, 10) | st.floats() | st.text(max_size=5)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
)
KEYS = re.findall(r"^(\w+):", GOOD, re.MULTILINE)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.dictionaries(st.sampled_from([*KEYS, "other"]), trees, max_size=9))
@example({"environments": {"local": None}})
@example({"environments": []})
@example({"scale": [], "rollout": {"alarms": []}, "platform": {"gpu_pools": {"a": 1}}})
def test_whatever_the_file_holds_is_a_spec_or_bad_input(tmp_path: Path, document: dict[str, Any]) -> None:
    from ruamel.yaml import YAML

    file = tmp_path / "ecomdeploy.yaml"
    with file.open("wb") as out:
        YAML(typ="safe", pure=True).dump(document, out)
    try:
        assert isinstance(load(file, "local", KNOWN), Spec)
    except BadInput as error:
        assert error.problems  # noqa: PT017 - either is right
