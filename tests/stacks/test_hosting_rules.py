# ruff: noqa: E501 - a table of mistakes reads best one to a line
"""`serve`'s options as they are written: what is read, what is refused at its line, what each target says to them."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from infra.hosting import CaptureSpec, HostingOptions, ServingNetwork
from infra.targets.base import Target
from infra.targets.kserve.target import KServe
from infra.targets.sagemaker.target import SageMaker
from modelpack.errors import BadInput
from stacks.reading.load import load
from stacks.reading.rules import ASKED
from stacks.spec import KnownNames, Spec

KNOWN = KnownNames(
    usecases=frozenset({"fraud"}),
    targets={"sagemaker": SageMaker(), "kserve": KServe()},
    passes=frozenset(),
)
EVENINGS = "{name: evenings, from: '18:00', to: '23:00', days: [fri, sat], time_zone: Europe/Berlin, min: 3}"
HEAD = "version: 1\nservice: shop\nusecase: fraud\n"
KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def read(folder: Path, text: str) -> Spec:
    file = folder / "ecomdeploy.yaml"
    file.write_text(HEAD + text)
    return load(file, "local", KNOWN)


def complaints(folder: Path, text: str) -> list[str]:
    try:
        read(folder, text)
    except BadInput as error:
        return [str(one).removeprefix(f"{folder}/ecomdeploy.yaml:") for one in error.problems]
    return []


def test_all_options_are_read(tmp_path: Path) -> None:
    spec = read(
        tmp_path,
        f"""serve:
  network: {{subnets: [subnet-0a1b2c3d, subnet-1a1b2c3d], security_groups: [sg-0a1b2c3d]}}
  isolated: true
  volume_key: {KEY}
  capture: {{percent: 10, of: [answers], key: {KEY}}}
  startup_timeout: 600
  download_timeout: 900
""",
    )
    assert HostingOptions.of(spec.serve) == HostingOptions(
        network=ServingNetwork(
            subnets=("subnet-0a1b2c3d", "subnet-1a1b2c3d"), security_groups=("sg-0a1b2c3d",)
        ),
        isolated=True,
        volume_key=KEY,
        capture=CaptureSpec(percent=10, of=("answers",), key=KEY),
        startup_timeout=600,
        download_timeout=900,
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("serve: {network: {subnets: [], security_groups: [sg-0a1b2c3d]}}", "4: serve.network.subnets: "),
        ("serve: {network: {subnets: [subnet-0a1b2c3d]}}", "4: serve.network.security_groups: "),
        ("serve: {network: {subnets: [mine], security_groups: [sg-0a1b2c3d]}}", "4: serve.network.subnets[0]: expected an id, got 'mine' (like subnet-0a1b2c3d)"),
        ("serve: {network: {subnets: [subnet-0a1b2c3d], security_groups: [default]}}", "4: serve.network.security_groups[0]: expected an id, got 'default' (like sg-0a1b2c3d)"),
        ("serve: {network: {subnets: [subnet-0a1b2c3d, subnet-0a1b2c3d], security_groups: [sg-0a1b2c3d]}}", "4: serve.network.subnets[1]: subnet-0a1b2c3d is named twice"),
        ("serve: {network: platform}", None),
        ("serve: {network: plattform}", "4: serve.network: expected 'platform', got 'plattform'"),
        ("serve: {network: 3}", "4: serve.network: expected 'platform', got 3"),
        ("serve: {network: {subnets: [subnet-0a1b2c3d], security_groups: [sg-0a1b2c3d], security_group: sg-0a1b2c3d}}", "4: serve.network.security_group: unknown key (did you mean security_groups?)"),
        ("serve: {network: platform}\nplatform: {serving: true}", None),
        ("platform: {serving: true, endpoints: false}", "4: platform.endpoints: model servers reach AWS's services by nothing else"),
        ("platform: {serving: true, vpc: {id: vpc-0a1b2c3d, subnets: [subnet-0a1b2c3d, subnet-1a1b2c3d]}}", "4: platform.serving: nothing is made in a network that is there already"),
        ("serve: {volume_key: alias/shop}", "4: serve.volume_key: expected the ARN of a KMS key, got 'alias/shop'"),
        (f"serve: {{instance: ml.g6.xlarge, volume_key: '{KEY}'}}\npack: {{hardware: cpu}}", "4: serve.volume_key: ml.g6.xlarge has storage of its own"),
        ("serve: {capture: {percent: 0}}", "4: serve.capture.percent: "),
        ("serve: {capture: {percent: 101}}", "4: serve.capture.percent: "),
        ("serve: {capture: {percent: 10, of: [input]}}", "4: serve.capture.of[0]: expected 'requests' or 'answers', got 'input'"),
        ("serve: {capture: {percent: 10, of: []}}", "4: serve.capture.of: each is named once, and one of them at least"),
        ("serve: {capture: {percent: 10, of: [answers, answers]}}", "4: serve.capture.of: each is named once"),
        ("serve: {capture: {percent: 10, key: nonsense}}", "4: serve.capture.key: expected the ARN of a KMS key, got 'nonsense'"),
        ("serve: {startup_timeout: 59}", "4: serve.startup_timeout: "),
        ("serve: {download_timeout: 3601}", "4: serve.download_timeout: "),
        ("serve: {startup_timeout: 2400}", "4: serve.startup_timeout: 2400 seconds are more than a rollout may take (rollout.deadline_minutes: 30)"),
        ("serve: {startup_timeout: 2400}\nrollout: {deadline_minutes: 60}", None),
        ("serve: {isolated: true, environment: {A: {secret: {env: A}}}}", "4: serve.environment.A: an isolated server reaches nothing"),
        ("serve: {isolated: true, environment: {A: plain}}", None),
        ("serve: {isolation: true}", "4: serve.isolation: unknown key"),
        ("scale: {max: 4, target_rps: 9, target_concurrency: 3}", "4: scale.target_concurrency: is given together with scale.target_rps"),
        ("scale: {max: 4, target_concurrency: 0}", "4: scale.target_concurrency: "),
        ("serve: {instance: ml.t2.medium}\nscale: {max: 4, target_concurrency: 3}", "4: serve.instance: ml.t2.medium cannot scale automatically"),
        ("scale: {max: 4, target_concurrency: 3}", None),
        ("scale: {max: 4, steps: [{over: 100, add: 2}, {over: 200, add: 3}, {under: 20, remove: 1}]}", None),
        ("scale: {max: 4, target_rps: 3, steps: [{over: 100, add: 2}]}", "4: scale.steps: is given together with scale.target_rps"),
        ("scale: {max: 4, steps: [{over: 100, remove: 2}]}", "4: scale.steps[0]: a step goes up or down"),
        ("scale: {max: 4, steps: [{over: 100}]}", "4: scale.steps[0]: a step goes up or down"),
        ("scale: {max: 4, steps: [{over: 100, add: 0}]}", "4: scale.steps[0].add: "),
        ("scale: {max: 4, steps: [{over: 100, add: 1}, {over: 100, add: 2}]}", "4: scale.steps[1].over: another step is over 100"),
        ("scale: {max: 4, steps: [{over: 100, add: 1}, {under: 100, remove: 1}]}", "4: scale.steps[1].under: 100 is not below every load"),
        (f"scale: {{max: 4, recurring: [{EVENINGS}]}}", None),
        ("scale: {max: 4, recurring: [{name: 'a/b', from: '18:00', to: '23:00', min: 3}]}", "4: scale.recurring[0].name: 'a/b' names no scheduled action"),
        ("scale: {max: 4, schedule: [{name: 'a|b', from: 2026-11-10T20:00Z, to: 2026-11-11T20:00Z, min: 2}]}", "4: scale.schedule[0].name: 'a|b' names no scheduled action"),
        (f"scale: {{max: 2, recurring: [{EVENINGS}]}}", "4: scale.max: 2 is below scale.recurring[0].min: 3"),
        ("scale: {max: 4, recurring: [{name: a, from: '6 pm', to: '23:00', min: 3}]}", "4: scale.recurring[0].from: expected a time of the day, got '6 pm'"),
        ("scale: {max: 4, recurring: [{name: a, from: '18:00', to: '24:30', min: 3}]}", "4: scale.recurring[0].to: expected a time of the day, got '24:30'"),
        ("scale: {max: 4, recurring: [{name: a, from: '18:00', to: '18:00', min: 3}]}", "4: scale.recurring[0].to: ends when it begins"),
        ("scale: {max: 4, recurring: [{name: a, from: '18:00', to: '23:00', min: 3, time_zone: Berlin}]}", "4: scale.recurring[0].time_zone: 'Berlin' is no time zone here"),
        ("scale: {max: 4, recurring: [{name: a, from: '18:00', to: '23:00', min: 3, days: []}]}", "4: scale.recurring[0].days: "),
        (f"scale: {{max: 4, recurring: [{EVENINGS}, {{name: late, from: '22:00', to: '02:00', days: [sat], min: 2, time_zone: Europe/Berlin}}]}}", "4: scale.recurring[1]: overlaps with scale.recurring[0], as at "),
        (f"scale: {{max: 4, recurring: [{EVENINGS}, {{name: early, from: '06:00', to: '09:00', days: [sat], min: 2}}]}}", None),
        (f"scale: {{max: 4, recurring: [{EVENINGS}, {{name: evenings, from: '06:00', to: '09:00', min: 2}}]}}", "4: scale.recurring[1].name: scale.recurring[0] is called evenings too"),
        # 18:00 in Berlin is 16:00 UTC in summer and 17:00 in winter.
        (f"scale: {{max: 4, recurring: [{EVENINGS}, {{name: a, from: '15:00', to: '16:30', days: [fri], min: 2}}]}}", "4: scale.recurring[1]: overlaps with scale.recurring[0], as at "),
        (f"scale: {{max: 4, recurring: [{EVENINGS}], schedule: [{{name: b, from: 2026-11-27T20:00Z, to: 2026-11-28T20:00Z, min: 2}}]}}", "4: scale.recurring[0]: overlaps with scale.schedule[0], as at 2026-11-27T20:00Z"),
        (f"scale: {{max: 4, recurring: [{EVENINGS}], schedule: [{{name: b, from: 2026-11-24T20:00Z, to: 2026-11-25T20:00Z, min: 2}}]}}", None),
        ("serve: {instance: ml.t2.medium}\nscale: {max: 4, steps: [{over: 100, add: 2}]}", "4: serve.instance: ml.t2.medium cannot scale automatically"),
    ],
)  # fmt: skip
def test_what_could_not_work_is_refused_at_its_line(tmp_path: Path, text: str, complaint: str | None) -> None:
    told = complaints(tmp_path, text + "\n")
    assert [one[: len(complaint or "")] for one in told] == ([complaint] if complaint else [])


EXAMPLES = {
    "serve.network": "serve: {network: {subnets: [subnet-0a1b2c3d], security_groups: [sg-0a1b2c3d]}, target: TARGET}",
    "serve.isolated": "serve: {isolated: true, target: TARGET}",
    "serve.volume_key": f"serve: {{volume_key: '{KEY}', target: TARGET}}",
    "serve.capture": "serve: {capture: {percent: 10}, target: TARGET}",
    "serve.startup_timeout": "serve: {startup_timeout: 600, target: TARGET}",
    "serve.download_timeout": "serve: {download_timeout: 600, target: TARGET}",
    "scale.target_rps": "serve: {target: TARGET}\nscale: {max: 4, target_rps: 3}",
    "scale.target_concurrency": "serve: {target: TARGET}\nscale: {max: 4, target_concurrency: 3}",
    "scale.steps": "serve: {target: TARGET}\nscale: {max: 4, steps: [{over: 100, add: 2}, {under: 20, remove: 1}]}",
    "scale.recurring": f"serve: {{target: TARGET}}\nscale: {{max: 4, recurring: [{EVENINGS}]}}",
    "scale.schedule": "serve: {target: TARGET}\nscale: {max: 4, schedule: [{name: a, from: 2026-11-10T20:00Z, to: 2026-11-11T20:00Z, min: 2}]}",
}  # fmt: skip
PAGE = "docs/sagemaker.md"


def test_every_option_has_an_example_here() -> None:
    assert {f"serve.{one.name}" for one in fields(HostingOptions)} <= set(EXAMPLES)


def page_rows(repository: Path) -> dict[str, tuple[str, str]]:
    """What the page says of SageMaker and of KServe, by key."""
    text = (repository / PAGE).read_text().partition("## Options")[2].partition("\n## ")[0]
    rows = [line.strip("| \n").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return {key.split("`")[1].partition(":")[0]: (sagemaker, kserve) for key, sagemaker, kserve in rows}


@pytest.mark.parametrize("key", sorted(EXAMPLES))
def test_the_page_says_what_each_target_says(tmp_path: Path, repository: Path, key: str) -> None:
    sagemaker, kserve = page_rows(repository)[key]
    assert sagemaker
    assert complaints(tmp_path, EXAMPLES[key].replace("TARGET", "sagemaker") + "\n") == []
    told = complaints(tmp_path, EXAMPLES[key].replace("TARGET", "kserve") + "\n")
    if not kserve.startswith("no: "):
        assert told == []
        return
    lacking = {
        reason
        for capability, path, _ in ASKED
        if ".".join(path) == key and (reason := lacks(KServe(), capability))
    }
    assert lacking, key
    assert len(told) == 1
    assert told[0].endswith(kserve.removeprefix("no: ")), (told, kserve)
    assert kserve.removeprefix("no: ") in lacking
    assert re.match(rf"\d+: {re.escape(key)}: kserve cannot ", told[0])


def lacks(target: Target, capability: object) -> str:
    return {str(one): reason for one, reason in target.lacks.items()}.get(str(capability), "")


def test_an_option_changes_nothing_of_a_spec_that_has_none(tmp_path: Path) -> None:
    plain = read(tmp_path, "serve: {instance: ml.m5.xlarge}\n")
    assert HostingOptions.of(plain.serve).as_data() == {}
    off = read(tmp_path, "serve: {instance: ml.m5.xlarge, isolated: false, network: null, capture: null}\n")
    assert replace(off.serve, host_image=None) == replace(plain.serve, host_image=None)
