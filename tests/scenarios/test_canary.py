"""Releases that take traffic step by step on SageMaker's guardrails, with a client that asks throughout.

The release that is bad is really bad: its code fails, or dawdles, for customers whom no golden request has. The local
cloud shortens bakes and alarm periods alike (a minute to some seconds); what is watched, and by whom, is as on AWS.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from own_shop import FEATURES, TRANSFORMED, write_model, write_shop
from typed import Poller, Terminal

from infra.rehearsal.cloud.client import LocalCloud
from modelpack.home import Home

pytestmark = [pytest.mark.slow, pytest.mark.network]

SPEC = """\
version: 1
service: aisles
usecase: ./shop.py:ShopRecs
model: {path: model.onnx}
serve: {environment: {TROUBLE: none}}
rollout:
  strategy: canary
  canary: {steps: [10], bake: 5m}
  alarms: {error_rate: 0.02, min_requests: 5}
"""
ENDPOINT, ALARM = "aisles-local", "aisles-local-error-rate"
TROUBLE = """
import itertools
import os
import time

import numpy as np

ASKED = itertools.count(1)


def prepare(inputs):
    real, trouble = (inputs["cents"] % 10).any(), os.environ.get("TROUBLE")
    if real and (trouble or "").startswith("errors"):
        raise RuntimeError("there is no price list for this customer")
    if real and trouble == "seldom" and next(ASKED) % 20 == 0:
        raise RuntimeError("there is no price list for every twentieth customer")
    if real and trouble == "degrades" and next(ASKED) > 30:
        raise RuntimeError("there are no price lists left")
    if real and (trouble or "").startswith("crash"):
        os._exit(3)
    if real and trouble == "slow":
        time.sleep(1.0)
    if real and (trouble or "").startswith("wrong"):
        customers = (inputs["cents"] % 10).any(axis=1, keepdims=True)
        inputs = {**inputs, "cents": np.where(customers, 100_000, inputs["cents"])}
"""
GUARDED = (
    ("import OwnModel,", "import Guardrail, OwnModel,"),
    ('Tensor("sure", "BOOL", (-1,))', 'Tensor("price", "FP32", (-1,))'),
    (
        '    metric_name = "accuracy"',
        '    metric_name = "accuracy"\n    guardrails = (Guardrail("price_too_high", "price", high=18),)',
    ),
)
PRICED = ('"sure": scores.max(axis=1) > 9', '"price": scores.max(axis=1)')
"""A price, which is at most 17.90 in the requests that the shop knows."""
FURTHER = pytest.mark.nightly(like="test_each_strategy_moves_as_it_says_and_its_alarms_turn_it_back")
PACE = 12
"""A minute of the cloud's in five seconds: a bake lasts 25, an alarm rings after 10 to 15."""


@dataclass(frozen=True)
class Live:
    """The first release, live, and how a customer asks."""

    terminal: Terminal
    ask: Callable[[], Any]

    def ship(self, trouble: str, expect: int = 0) -> Any:
        """The next release: another variable of its servers, and nothing else."""
        self.terminal.edit(r"TROUBLE: \w+", f"TROUBLE: {trouble}")
        return self.terminal.type("up", "--yes", "--json", expect=expect)

    def kill_in_a_bake(self, trouble: str) -> None:
        self.terminal.edit(r"TROUBLE: \w+", f"TROUBLE: {trouble}")

        def is_watched(said: str) -> bool:
            return "% of the traffic on release 2, watched" in said

        code = self.terminal.killed("up", "--yes", "--json", when=is_watched)
        assert code == -signal.SIGKILL

    def cloud(self) -> LocalCloud:
        return LocalCloud(Home(self.terminal.home, self.terminal.home / "cache"))

    def settled(self) -> str:
        """The configuration that the endpoint is on once it moves no more."""
        sagemaker = self.terminal.client("sagemaker")
        sagemaker.get_waiter("endpoint_in_service").wait(
            EndpointName=ENDPOINT, WaiterConfig={"Delay": 1, "MaxAttempts": 600}
        )
        return str(sagemaker.describe_endpoint(EndpointName=ENDPOINT)["EndpointConfigName"])


@pytest.fixture
def live(terminal: Terminal) -> Live:
    write_shop(terminal.folder, *GUARDED, text=TRANSFORMED)
    text = FEATURES.replace("\nimport numpy as np\n\n\ndef prepare(inputs):\n", TROUBLE)
    text = text.replace(*PRICED)
    assert "price list" in text
    assert '"price"' in text
    (terminal.folder / "features.py").write_text(text)
    write_model(terminal.folder / "model.onnx")
    (terminal.folder / "ecomdeploy.yaml").write_text(SPEC)
    first = terminal.type("up", "--yes", "--json").json
    assert (first["release"], first["verified"]) == (1, True)
    made = Live(terminal, customer(terminal))
    made.cloud().set_pace(PACE)
    assert made.ask()
    return made


def customer(terminal: Terminal) -> Callable[[], Any]:
    """A call of the stock SDK with what no golden request has: prices that end in a cent."""
    runtime = terminal.client("sagemaker-runtime")
    body = json.dumps({"instances": [{"cents": [1201, 333, 7]}]}).encode()

    def ask() -> Any:
        told = runtime.invoke_endpoint(EndpointName=ENDPOINT, Body=body, ContentType="application/json")
        return json.loads(told["Body"].read())["predictions"]

    return ask


def leave_in_a_bake(live: Live) -> None:
    """Ctrl-C. Before that, nobody else may ship or roll back; afterwards it is said who serves."""
    live.terminal.edit(r"TROUBLE: \w+", "TROUBLE: nothing")
    shipping = live.terminal.start("up", "--yes", "--json", "--events", "events.jsonl")
    assert shipping.stderr is not None
    said = next(line for line in shipping.stderr if "10 % of the traffic on release 2, watched" in line)
    assert f"{ALARM} quiet" in said
    for verb in ("up", "rollback"):
        assert "is at work here" in live.terminal.type(verb, "--yes", "--json", expect=3).err
    shipping.send_signal(signal.SIGINT)
    _, rest = shipping.communicate(timeout=600)
    assert shipping.returncode == 130
    assert "release 1 serves 90 % of the traffic, release 2 10 %" in rest
    assert "Traceback" not in rest
    events = [json.loads(line) for line in (live.terminal.folder / "events.jsonl").read_text().splitlines()]
    assert (events[0]["kind"], events[-1]["kind"]) == ("begun", "left")
    assert {one["share"] for one in events} == {0, 10}


def refuse_in_a_freeze(live: Live) -> None:
    """Nothing is asked of SageMaker, and a rollback would be possible."""
    asked = live.cloud().operations()
    window = "{name: sale, from: 2026-01-01T00:00:00+00:00, to: 2099-01-01T00:00:00+00:00}"
    live.terminal.edit(r"  alarms: \{error_rate", f"  freeze: [{window}]\n  alarms: {{error_rate")
    assert "rollouts are frozen by sale" in json.dumps(live.terminal.type("plan", "--json").json["notes"])
    refused = live.terminal.type("up", "--yes", "--json", expect=2).json["error"]
    assert "rollouts are frozen by sale" in refused["what"]
    for operation in ("UpdateEndpoint", "CreateModel"):
        assert live.cloud().operations()[f"sagemaker:{operation}"] == asked[f"sagemaker:{operation}"]


def read_elsewhere(live: Live, told: str) -> None:
    """Another checkout, whose folder has no history: what was seen is in the bucket, and so is the pack's report."""
    other = live.terminal.into("other")
    other.folder.mkdir()
    for name in ("ecomdeploy.yaml", "shop.py", "features.py", "model.onnx"):
        (other.folder / name).write_bytes((live.terminal.folder / name).read_bytes())
    assert [one["cause"] for one in other.type("releases", "--json").json] == ["", told]
    story = other.type("releases", "show", "2", "--json").json
    events = story["rollout"]["events"]
    assert [one["kind"] for one in events if one["kind"] in ("begun", "back", "ended")] == [
        "begun",
        "back",
        "ended",
    ]
    assert {0, 10} <= {one["share"] for one in events}
    assert "Threshold Crossed" in events[-1]["words"]
    both = [story["rollout"][name] for name in ("old", "new")]
    assert all(sum(one["requests"] for one in figures) > 0 for figures in both)
    assert [sum(one["errors"] for one in figures) > 0 for figures in both] == [False, True]
    assert story["release"]["spec_digest"].startswith("sha256:")
    assert story["pack"]["passes"] is not None
    other.type("releases", "show", "2", "--html", "release.html", "--report", "pack.html")
    assert f"{ALARM} rang" in (other.folder / "release.html").read_text()
    assert "<svg" in (other.folder / "pack.html").read_text()
    assert not (other.folder / ".ecomdeploy").exists()


def state(live: Live) -> list[str]:
    return [one["state"] for one in live.terminal.type("releases", "--json").json]


def all_of_the_canary(poller: Poller) -> None:
    """Every failed request is one that the bad release answered wrong itself, and they are few."""
    assert poller.errors
    assert all("ModelError" in one and "500" in one for one in poller.errors), poller.errors[:3]
    assert len(poller.errors) < 0.25 * poller.requests


@pytest.mark.nightly(like="test_each_strategy_moves_as_it_says_and_its_alarms_turn_it_back")
def test_a_good_release_is_promoted_step_by_step(live: Live) -> None:
    with Poller(live.ask) as poller:
        done = live.ship("nothing")
    assert (done.json["release"], done.json["state"], done.json["verified"]) == (2, "live", True)
    for share in (10, 100):
        assert f"{share} % of the traffic on release 2, watched" in done.err
    assert f"{ALARM} quiet" in done.err
    assert poller.errors == []
    assert poller.requests > 50
    deployed = live.terminal.client("sagemaker").describe_endpoint(EndpointName=ENDPOINT)[
        "LastDeploymentConfig"
    ]
    routing = deployed["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    assert (routing["Type"], routing["WaitIntervalInSeconds"]) == ("CANARY", 300)
    named = [one["AlarmName"] for one in deployed["AutoRollbackConfiguration"]["Alarms"]]
    assert (named[0], len(named)) == (ALARM, 3), "on all of it, on this release alone, on its prices"


def test_errors_in_the_canary_turn_it_back(live: Live) -> None:
    before = live.settled()
    with Poller(live.ask) as poller:
        failed = live.ship("errors", expect=4).json["error"]["what"]
    assert f"alarm {ALARM} rang: Threshold Crossed" in failed
    assert failed.endswith("Release 1 serves")
    all_of_the_canary(poller)
    assert live.settled() == before
    assert state(live) == ["live", "failed"]
    (told,) = [one["cause"] for one in live.terminal.type("releases", "--json").json if one["cause"]]
    assert told == failed
    read_elsewhere(live, failed)
    status = live.terminal.type("status", "--json").json
    assert (status["release"], status["verified"]) == (1, True)
    with Poller(live.ask) as after:
        time.sleep(1)
    assert after.errors == []
    assert "--again" in json.dumps(live.terminal.type("up", "--yes", "--json", expect=2).json)


@pytest.mark.nightly(like="test_each_strategy_moves_as_it_says_and_its_alarms_turn_it_back")
def test_the_price_guardrail_turns_back_what_is_fast_healthy_and_wrong(live: Live) -> None:
    """Every golden request is answered right, no request fails, and none takes longer."""
    with Poller(live.ask) as poller:
        failed = live.ship("wrong", expect=4).json["error"]["what"]
    assert "-price-too-high rang: Threshold Crossed" in failed
    assert failed.endswith("Release 1 serves")
    assert poller.errors == []
    assert state(live) == ["live", "failed"]


@pytest.mark.nightly(like="test_errors_in_the_canary_turn_it_back")
def test_one_failure_in_twenty_of_the_canary_turns_it_back(live: Live) -> None:
    """Of all that the endpoint answers that is half a percent, which no alarm on the endpoint could see."""
    live.cloud().set_pace(6)  # each minute has 20 requests of a tenth of the traffic, also on a busy machine
    with Poller(live.ask, every=0.01) as poller:
        failed = live.ship("seldom", expect=4).json["error"]["what"]
    assert "-error-rate rang: Threshold Crossed" in failed
    assert f"alarm {ALARM} rang" not in failed
    assert failed.endswith("Release 1 serves")
    assert 0 < len(poller.errors) < 0.05 * poller.requests
    assert state(live) == ["live", "failed"]


@pytest.mark.nightly(like="test_errors_in_the_canary_turn_it_back")
def test_what_the_cloud_has_not_moves_nothing_and_what_degrades_in_its_bake_goes_back(live: Live) -> None:
    """A canary without a quota, without capacity, and one that never gets healthy, which SageMaker turns back silently;
    then one that is ready, and answers right for its first 30 customers."""
    before, quota = live.settled(), "ml.c7i.xlarge for endpoint usage"
    with Poller(live.ask) as poller:
        live.terminal.type("cloud", "quota", quota, "1")
        assert quota in live.ship("none_of_it", expect=5).json["error"]["what"]
        live.terminal.type("cloud", "quota", quota, "9")
        live.cloud().plant({"kind": "capacity"})
        lacking = live.ship("none_of_it", expect=5).json["error"]["what"]
        live.cloud().plant({"kind": "never-ready", "seconds": 1})
        unhealthy = live.ship("none_of_this", expect=4).json["error"]["what"]
    assert "InsufficientInstanceCapacity" in lacking
    assert "ping health check" in unhealthy
    assert unhealthy.endswith("Release 1 serves")
    assert (poller.errors, live.settled()) == ([], before)
    with Poller(live.ask) as poller:
        degraded = live.ship("degrades", expect=4).json["error"]["what"]
    assert "-error-rate rang: Threshold Crossed" in degraded
    assert degraded.endswith("Release 1 serves")
    all_of_the_canary(poller)
    first, *_, last = state(live)
    assert (first, last) == ("live", "failed")


@pytest.mark.parametrize(
    ("settings", "shares", "policy"),
    [
        ("linear\n  linear: {step: 50, bake: 5m}", (50, 100), "LINEAR"),
        pytest.param("blue-green", (100,), "ALL_AT_ONCE", marks=FURTHER),
        pytest.param("rolling\n  rolling: {batch: 50, bake: 5m}", (50, 100), "rolling", marks=FURTHER),
    ],
)
def test_each_strategy_moves_as_it_says_and_its_alarms_turn_it_back(
    live: Live, settings: str, shares: tuple[int, ...], policy: str
) -> None:
    """A good release first, then one whose prices are wrong."""
    live.terminal.edit(r"strategy: canary\n  canary: [^\n]*", f"strategy: {settings}")
    with Poller(live.ask) as poller:
        done = live.ship("nothing")
        told = live.terminal.client("sagemaker").describe_endpoint(EndpointName=ENDPOINT)
        failed = live.ship("wrong", expect=4).json["error"]["what"]
    assert (done.json["release"], done.json["verified"]) == (2, True)
    for share in shares:
        assert f"{share} % of the traffic on release 2, watched" in done.err
    how = told["LastDeploymentConfig"]
    routing = how.get("BlueGreenUpdatePolicy", {}).get("TrafficRoutingConfiguration", {"Type": "rolling"})
    assert (routing["Type"], "RollingUpdatePolicy" in how) == (policy, policy == "rolling")
    assert "-price-too-high rang" in failed
    assert failed.endswith("Release 2 serves")
    assert poller.errors == []
    assert state(live) == ["superseded", "live", "failed"]


@pytest.mark.nightly(like="test_errors_in_the_canary_turn_it_back")
def test_a_slow_model_is_turned_back_by_its_p99(live: Live) -> None:
    live.terminal.edit(r"alarms: \{error_rate: 0.02", "alarms: {error_rate: 0.02, p99_ms: 600")
    live.terminal.type("up", "--yes", "--json")
    with Poller(live.ask) as poller:
        failed = live.ship("slow", expect=4).json["error"]["what"]
    assert "alarm aisles-local-p99 rang: Threshold Crossed" in failed
    assert failed.endswith("Release 1 serves")
    assert poller.errors == []
    assert state(live) == ["live", "failed"]


def test_a_bake_that_nobody_asked_in_is_not_passed(live: Live) -> None:
    """No data is not green: SageMaker took it for good, and traffic is put back."""
    before = live.settled()
    failed = live.ship("nothing", expect=4).json["error"]["what"]
    assert "nobody can say that it is good: 0 requests came to it" in failed
    assert live.settled() == before
    assert state(live) == ["live", "failed"]
    live.terminal.edit("min_requests: 5", "min_requests: 5, no_data: good")
    assert live.terminal.type("up", "--yes", "--json", "--again").json["release"] == 3


@pytest.mark.nightly(like="test_a_bad_release_is_turned_back_without_its_watcher")
def test_a_good_release_goes_on_without_its_watcher(live: Live) -> None:
    with Poller(live.ask) as poller:
        before = live.settled()
        live.kill_in_a_bake("nothing")
        assert live.settled() != before
        told = live.terminal.type("status", "--json", expect=4).json["notes"]
        assert any("all traffic is on it; ecomdeploy up" in one for one in told)
        done = live.terminal.type("up", "--yes", "--json").json
    assert (done["release"], done["state"], done["verified"]) == (2, "live", True)
    assert poller.errors == []
    assert live.cloud().operations()["sagemaker:UpdateEndpoint"] == 1


def test_a_bad_release_is_turned_back_without_its_watcher(live: Live) -> None:
    with Poller(live.ask) as poller:
        before = live.settled()
        live.kill_in_a_bake("errors")
        assert live.settled() == before
        status = live.terminal.type("status", "--json").json
        assert status["release"] == 1
        assert any(f"turned back: alarm {ALARM} rang: Threshold Crossed" in one for one in status["notes"])
        failed = live.terminal.type("up", "--yes", "--json", expect=4).json["error"]["what"]
    assert f"turned back while nobody looked on: alarm {ALARM} rang" in failed
    assert failed.endswith("Release 1 serves")
    all_of_the_canary(poller)
    assert state(live) == ["live", "failed"]
    assert live.cloud().operations()["sagemaker:UpdateEndpoint"] == 1


@pytest.mark.nightly(like="test_a_bad_release_is_turned_back_without_its_watcher")
def test_a_rollback_in_a_bake_does_not_wait_for_it(live: Live) -> None:
    """At AWS's own pace: five minutes are left of the bake. While somebody looks on, nobody else may."""
    before = live.settled()
    with Poller(live.ask) as poller:
        live.cloud().set_pace(1)
        leave_in_a_bake(live)
        began = time.monotonic()
        done = live.terminal.type("rollback", "--yes", "--json").json
        took = time.monotonic() - began
    assert (done["release"], done["outcome"], done["verified"]) == (1, "rolled back", True)
    assert took < 240
    assert live.settled() == before
    assert poller.errors == []
    assert state(live) == ["live", "removed"], "interrupted, and its resources went with the next prune"
    assert live.terminal.type("releases", "--json").json[1]["cause"] == "rolled back before it was finished"
    refuse_in_a_freeze(live)
