"""Releases in the shadow of the one that serves, on SageMaker: copies of live requests, whose answers no caller gets.

The shop, its customer and what is bad about a release are test_canary.py's. No request of the customer fails in any of
these stories, whatever the release in the shadow does.
"""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest
from typed import Poller

from tests.scenarios.test_canary import ENDPOINT, Live, live, state

__all__ = ["live"]

pytestmark = [pytest.mark.slow, pytest.mark.network]

SHADOW = "strategy: shadow\n  shadow: {bake: 5m}"
COPIED = "100 % of the requests copied to release 2, watched"


@pytest.fixture
def shadowed(live: Live) -> Live:
    live.terminal.edit(r"strategy: canary", SHADOW)
    return live


def configurations(live: Live) -> list[dict[str, Any]]:
    sagemaker = live.terminal.client("sagemaker")
    names = [one["EndpointConfigName"] for one in sagemaker.list_endpoint_configs()["EndpointConfigs"]]
    return [sagemaker.describe_endpoint_config(EndpointConfigName=name) for name in names]


def has_shadow(live: Live) -> bool:
    """Whether anything of a shadow is there: on the endpoint, or declared."""
    told = live.terminal.client("sagemaker").describe_endpoint(EndpointName=ENDPOINT)
    return "ShadowProductionVariants" in told or any(
        one.get("ShadowProductionVariants") for one in configurations(live)
    )


def test_a_good_release_is_compared_and_promoted(shadowed: Live) -> None:
    """Copies first, then by the strategy that is said; nothing of the shadow is left."""
    shadowed.terminal.edit(r"shadow: \{bake: 5m\}", "shadow: {bake: 5m, then: canary}")
    with Poller(shadowed.ask) as poller:
        done = shadowed.ship("nothing")
    assert (done.json["release"], done.json["state"], done.json["verified"]) == (2, "live", True)
    assert COPIED in done.err
    assert "with copies of 100 %: release 1 " in done.err
    assert done.err.index(COPIED) < done.err.index("10 % of the traffic on release 2, watched")
    assert poller.errors == []
    assert poller.requests > 50
    assert not has_shadow(shadowed)
    story = shadowed.terminal.type("releases", "show", "2", "--json").json["rollout"]
    assert {one["copied"] for one in story["events"]} == {0, 100}
    while_copied = [one for one in story["events"] if one["copied"] and one["old"] and one["new"]]
    assert while_copied, "both were measured while requests were copied"
    assert all(one["share"] == 0 for one in while_copied)


@pytest.mark.nightly(like="test_a_killed_watcher_leaves_the_judging_to_the_next_up")
def test_a_bad_release_is_turned_back_and_nobody_saw_it(shadowed: Live) -> None:
    """One that fails, and then one whose prices are wrong: fast, healthy, and never seen."""
    before = shadowed.settled()
    with Poller(shadowed.ask) as poller:
        failed = shadowed.ship("errors", expect=4).json["error"]["what"]
        wrong = shadowed.ship("wrong", expect=4).json["error"]["what"]
    assert "-shadow-error-rate rang: Threshold Crossed" in failed
    assert "-shadow-price-too-high rang: Threshold Crossed" in wrong
    assert failed.endswith("Release 1 serves")
    assert poller.errors == []
    assert state(shadowed) == ["live", "failed", "failed"]
    assert shadowed.settled() == before
    assert not has_shadow(shadowed)
    causes = [one["cause"] for one in shadowed.terminal.type("releases", "--json").json]
    assert causes == ["", failed, wrong]


@pytest.mark.nightly(like="test_a_killed_watcher_leaves_the_judging_to_the_next_up")
def test_one_that_crashes_or_dawdles_harms_no_caller(shadowed: Live) -> None:
    shadowed.terminal.edit(r"alarms: \{error_rate: 0.02", "alarms: {error_rate: 0.02, p99_ms: 600")
    shadowed.terminal.type("up", "--yes", "--json")
    with Poller(shadowed.ask) as poller:
        crashed = shadowed.ship("crash", expect=4).json["error"]["what"]
        slow = shadowed.ship("slow", expect=4).json["error"]["what"]
    assert "-shadow-error-rate rang: Threshold Crossed" in crashed
    assert "-shadow-p99 rang: Threshold Crossed" in slow
    assert slow.endswith("Release 1 serves")
    assert poller.errors == []
    assert state(shadowed) == ["live", "failed", "failed"]


@pytest.mark.nightly(like="tests/scenarios/test_canary.py::test_a_bake_that_nobody_asked_in_is_not_passed")
def test_one_that_got_no_copies_has_not_passed(shadowed: Live) -> None:
    before = shadowed.settled()
    failed = shadowed.ship("nothing", expect=4).json["error"]["what"]
    assert (
        "with copies of 100 % of the requests nobody can say that it is good: 0 requests came to it" in failed
    )
    assert shadowed.settled() == before
    assert not has_shadow(shadowed)


def kill(live: Live, trouble: str) -> None:
    live.terminal.edit(r"TROUBLE: \w+", f"TROUBLE: {trouble}")
    code = live.terminal.killed("up", "--yes", "--json", when=lambda said: COPIED in said)
    assert code == -signal.SIGKILL


def test_a_killed_watcher_leaves_the_judging_to_the_next_up(shadowed: Live) -> None:
    """SageMaker goes on to the end of the bake. It promotes nothing by itself."""
    with Poller(shadowed.ask) as poller:
        kill(shadowed, "nothing")
        shadowed.settled()
        notes = json.dumps(shadowed.terminal.type("status", "--json", expect=4).json)
        assert "it gets copies of 100 % of the requests, and answers nobody; ecomdeploy up ends it" in notes
        done = shadowed.terminal.type("up", "--yes", "--json").json
    assert (done["release"], done["state"], done["verified"]) == (2, "live", True)
    assert poller.errors == []
    assert shadowed.cloud().operations()["sagemaker:UpdateEndpoint"] == 2
    assert not has_shadow(shadowed)


@pytest.mark.nightly(like="test_a_killed_watcher_leaves_the_judging_to_the_next_up")
def test_a_bad_release_is_taken_off_without_its_watcher(shadowed: Live) -> None:
    before = shadowed.settled()
    with Poller(shadowed.ask) as poller:
        kill(shadowed, "errors")
        assert shadowed.settled() == before
        failed = shadowed.terminal.type("up", "--yes", "--json", expect=4).json["error"]["what"]
    assert "turned back while nobody looked on: alarm aisles-local-" in failed
    assert "-shadow-error-rate rang" in failed
    assert failed.endswith("Release 1 serves")
    assert poller.errors == []
    assert not has_shadow(shadowed)


@pytest.mark.nightly(like="test_a_killed_watcher_leaves_the_judging_to_the_next_up")
def test_a_rollback_while_requests_are_copied_takes_them_off(shadowed: Live) -> None:
    """At AWS's own pace: minutes are left of the bake. Ctrl-C first, which says who serves."""
    before = shadowed.settled()
    with Poller(shadowed.ask) as poller:
        shadowed.cloud().set_pace(1)
        shadowed.terminal.edit(r"TROUBLE: \w+", "TROUBLE: nothing")
        shipping = shadowed.terminal.start("up", "--yes", "--json")
        assert shipping.stderr is not None
        next(line for line in shipping.stderr if COPIED in line)
        shipping.send_signal(signal.SIGINT)
        _, rest = shipping.communicate(timeout=600)
        assert shipping.returncode == 130
        assert "release 1 serves, and release 2 gets copies of 100 % of the requests" in rest
        done = shadowed.terminal.type("rollback", "--yes", "--json").json
    assert (done["release"], done["outcome"], done["verified"]) == (1, "rolled back", True)
    assert shadowed.settled() == before
    assert poller.errors == []
    assert not has_shadow(shadowed)


@pytest.mark.nightly(like="test_a_good_release_is_compared_and_promoted")
def test_another_release_takes_a_shadow_s_place(shadowed: Live) -> None:
    """What was left in a bake by a kill is taken off, and the spec's own release is live."""
    with Poller(shadowed.ask) as poller:
        kill(shadowed, "nothing")
        shadowed.terminal.edit(r"TROUBLE: \w+", "TROUBLE: none")
        done = shadowed.terminal.type("up", "--yes", "--json").json
    assert (done["release"], done["verified"]) == (1, True)
    assert poller.errors == []
    assert not has_shadow(shadowed)
