"""A service's alarms as Prometheus and its Operator have them: promtool and the Operator's definition judge."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from operator_crd import close, read_definition
from ruamel.yaml import YAML

from infra.spec import AlarmSpec, ClusterSpec
from infra.tags import Tags
from infra.targets.base import Declared, Service
from infra.targets.kserve.alarms import RULE, RULE_KIND, alarm_map, prometheus_rule
from infra.targets.kserve.hosts import hosts
from infra.targets.kserve.manifests import container
from infra.targets.kserve.names import ENDPOINT_LABEL

PAGE = Path(__file__).resolve().parents[2] / "docs" / "alarms.md"
OLD, NEW = "shop-local-aaaaaaaa", "shop-local-bbbbbbbb"
SERVICE = Service(
    endpoint="shop-local",
    base={},
    project_tags=Tags(project="shop", stack="service", environment="local"),
    now=datetime(2026, 1, 1, tzinfo=UTC),
    alarms=AlarmSpec(error_rate=0.02, p99_ms=200, model_error_rate=0.1),
    namespace="ml",
    cluster=ClusterSpec(rule_labels={"release": "monitoring"}),
)
RELEASES = tuple(
    Declared(
        key=letter * 12, image="a@sha256:b", instance="c7i.large", count=1, guardrails={"declined": limit}
    )
    for letter, limit in (("a", 0.5), ("b", 0.1))
)


def rule(service: Service = SERVICE) -> dict[str, Any]:
    made = prometheus_rule(service, RELEASES)
    assert made is not None
    return made


def promtool(*arguments: str | Path) -> str:
    binary = shutil.which("promtool")
    if binary is None:
        pytest.skip("no promtool here (apt-get install prometheus)")
    done = subprocess.run(
        [binary, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_objects_text_is_that_of_the_rollouts_map() -> None:
    assert rule()["spec"] == json.loads(alarm_map(SERVICE, RELEASES)["data"]["rules.yaml"])
    assert (rule()["metadata"]["name"], rule()["metadata"]["namespace"]) == ("shop-local-alarms", "ml")
    labels = rule()["metadata"]["labels"]
    assert (labels["release"], labels["ecomdeploy.dev/endpoint"]) == ("monitoring", "shop-local")
    quiet = Service(
        endpoint="shop-local",
        base={},
        project_tags=SERVICE.project_tags,
        now=SERVICE.now,
        alarms=AlarmSpec(error_rate=None, guardrails={"declined": None}),
    )
    assert prometheus_rule(quiet, RELEASES) is None


def test_prometheus_takes_the_rules(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(json.dumps(rule()["spec"]))
    assert "SUCCESS: 5 rules found" in promtool("check", "rules", tmp_path / "rules.yaml")


def judge_of(plural: str, version: str, kind: str) -> Draft202012Validator:
    """Of a kind's spec: its schema leaves the metadata to the API server."""
    definition = read_definition(plural)["spec"]
    (served,) = [one for one in definition["versions"] if one["served"]]
    assert (f"{definition['group']}/{served['name']}", definition["names"]["kind"]) == (version, kind)
    return Draft202012Validator(close(served["schema"]["openAPIV3Schema"])["properties"]["spec"])


@pytest.mark.network
def test_the_page_s_pod_monitor_is_one_and_finds_our_pods() -> None:
    text = re.findall(r"```yaml\n(apiVersion.*?)```", PAGE.read_text(), re.S)
    (page,) = [YAML(typ="safe").load(one) for one in text if "PodMonitor" in one]
    told = json.loads(json.dumps(page))
    assert list(judge_of("podmonitors", told["apiVersion"], told["kind"]).iter_errors(told["spec"])) == []
    assert told["spec"]["selector"]["matchExpressions"] == [{"key": ENDPOINT_LABEL, "operator": "Exists"}]
    (port,) = container(SERVICE, RELEASES[0], hosts())["ports"]
    assert [one["port"] for one in told["spec"]["podMetricsEndpoints"]] == [port["name"]]


@pytest.mark.network
def test_the_operators_definition_has_every_field() -> None:
    judge = judge_of("prometheusrules", RULE, RULE_KIND)
    assert list(judge.iter_errors(rule()["spec"])) == []
    assert list(judge.iter_errors({"groups": [{"name": "a", "rulez": []}]})), "it judges"
    assert list(judge.iter_errors({"groups": [{"name": "a", "interval": "30 s"}]}))


def counter(name: str, values: str, release: str = NEW, **labels: str) -> dict[str, str]:
    """A series of one pod; a sample each 15 seconds."""
    told = {"namespace": "ml", "pod": f"{release}-predictor-7d9-x2k", **labels}
    return {
        "series": f"{name}{{{','.join(f'{key}={json.dumps(one)}' for key, one in told.items())}}}",
        "values": values,
    }


def answers(looked_at: str, wrong: str, release: str = NEW) -> list[dict[str, str]]:
    return [
        counter("ecomdeploy_guarded_answers_total", looked_at, release),
        counter("ecomdeploy_guardrail_answers_total", wrong, release, guardrail="declined"),
        counter("ecomdeploy_guardrail_answers_total", looked_at, release, guardrail="another"),
    ]


def requests(good: str, bad: str, code: str = "500", route: str = "/invocations") -> list[dict[str, str]]:
    name = "ecomdeploy_requests_total"
    return [counter(name, good, route=route, code="200"), counter(name, bad, route=route, code=code)]


def seconds(fast: str, slow: str) -> list[dict[str, str]]:
    """As the server has it: each bucket holds those before it."""
    name, route = "ecomdeploy_request_seconds_bucket", "/invocations"
    return [
        counter("ecomdeploy_requests_total", slow, route=route, code="200"),
        *(counter(name, fast, route=route, le=le) for le in ("0.1", "0.2", "0.5")),
        *(counter(name, slow, route=route, le=le) for le in ("1", "+Inf")),
    ]


GUARDRAIL = f"{NEW}.declined"
ROWS: dict[str, tuple[list[dict[str, str]], str, bool]] = {
    "a fifth is declined, where a tenth may be": (answers("0+10x40", "0+2x40"), GUARDRAIL, True),
    "a twentieth is declined": (answers("0+20x40", "0+1x40"), GUARDRAIL, False),
    "all of the few are declined": (answers("0+1x40", "0+1x40"), GUARDRAIL, False),
    "all are declined, in one minute of two": (answers("0+10x40", "0x17 40 40x20"), GUARDRAIL, False),
    "the old release declines a fifth, and may": (
        answers("0+10x40", "0+2x40", OLD),
        f"{OLD}.declined",
        False,
    ),
    "the old release declines a fifth": (answers("0+10x40", "0+2x40", OLD), GUARDRAIL, False),
    "one of twenty fails": (requests("0+19x40", "0+1x40"), "shop-local-error-rate", True),
    "one of twenty is refused": (requests("0+19x40", "0+1x40", "400"), "shop-local-error-rate", False),
    "probes fail": (requests("0+1x40", "0+9x40", route="/ping"), "shop-local-error-rate", False),
    "one of five is refused": (requests("0+8x40", "0+2x40", "400"), "shop-local-model-errors", True),
    "one of fifty is slow": (seconds("0+49x40", "0+50x40"), "shop-local-p99", True),
    "one of two hundred is slow": (seconds("0+199x40", "0+200x40"), "shop-local-p99", False),
}


@pytest.mark.parametrize("row", ROWS)
def test_an_alarm_rings_when_it_is_to(row: str, tmp_path: Path) -> None:
    """By Prometheus's own engine, five minutes after the release began to answer."""
    series, name, rings = ROWS[row]
    (tmp_path / "rules.yaml").write_text(json.dumps(rule()["spec"]))
    (alert,) = [one for one in rule()["spec"]["groups"][0]["rules"] if one["alert"] == name]
    release = NEW if rings else ""
    told = {
        "exp_labels": {"release": release, **alert["labels"]},
        "exp_annotations": {
            key: one.replace("{{ $labels.release }}", release) for key, one in alert["annotations"].items()
        },
    }
    expected = {"eval_time": "5m", "alertname": name, "exp_alerts": [told] if rings else []}
    test = {"interval": "15s", "input_series": series, "alert_rule_test": [expected]}
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": "30s", "tests": [test]}
    (tmp_path / "test.yaml").write_text(json.dumps(document))
    assert "SUCCESS" in promtool("test", "rules", tmp_path / "test.yaml")
