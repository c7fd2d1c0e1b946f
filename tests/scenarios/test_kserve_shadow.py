"""Releases in the shadow of the one that serves, on Kubernetes: the mirror filter of the one route, a real Prometheus
and the guard. The shop and its cluster are test_kserve_steps.py's; no request of the customer fails.
"""

from __future__ import annotations

import signal
from typing import Any

import pytest
from kserve_shop import ROUTE
from typed import Poller
from waiting import wait_for

from tests.scenarios.test_kserve_steps import ALARM, ENDPOINT, Live, live

__all__ = ["live"]

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.kubernetes]

COPIED = " of the requests copied to release "


@pytest.fixture(scope="module", autouse=True)
def shadow(live: Live) -> None:
    live.terminal.edit("strategy: canary", "strategy: shadow\n  shadow: {bake: 5m}")


def mirrors(live: Live) -> dict[str, Any]:
    """Services that get copies, with the percentage that the route says."""
    route = live.api.get(*ROUTE, ENDPOINT, "default") or {}
    filters = [one["requestMirror"] for rule in route["spec"]["rules"] for one in rule.get("filters", ())]
    return {one["backendRef"]["name"]: one.get("percent") for one in filters}


def test_a_good_release_is_compared_and_promoted(live: Live) -> None:
    live.terminal.edit(r"shadow: \{bake: 5m\}", "shadow: {bake: 5m, share: 50}")
    before = live.weights()
    with Poller(live.ask) as poller:
        done = live.ship("nothing")
    assert (done.json["release"], done.json["state"], done.json["verified"]) == (2, "live", True)
    assert "50 % of the requests copied to release 2, watched" in done.err
    assert "with copies of 50 %: release 1 " in done.err
    assert poller.errors == []
    assert poller.requests > 50
    assert set(live.weights().values()) == {100}
    assert live.weights() != before
    assert (mirrors(live), live.record().state) == ({}, "ended")


@pytest.mark.parametrize(
    "trouble",
    [
        "errors",
        pytest.param(
            "crash", marks=pytest.mark.nightly(like="test_a_bad_release_is_turned_back_and_nobody_saw_it")
        ),
    ],
)
def test_a_bad_release_is_turned_back_and_nobody_saw_it(live: Live, trouble: str) -> None:
    live.terminal.edit(r"share: 50", "share: 100") if trouble == "errors" else None
    before, serving = live.weights(), live.serving()
    with Poller(live.ask) as poller:
        failed = live.ship(trouble, expect=4).json["error"]["what"]
    if trouble == "errors":
        assert f"alarm {ALARM} rang: Threshold Crossed: 2 out of the last 2 datapoints [" in failed
    assert failed.endswith(f"Release {serving} serves")
    assert poller.errors == []
    assert (live.weights(), mirrors(live), live.serving()) == (before, {}, serving)


@pytest.mark.nightly(like="test_the_guard_takes_the_copies_off_when_nobody_leads")
def test_an_interrupted_shadow_is_taken_off_and_says_so(live: Live) -> None:
    before, serving = live.weights(), live.serving()
    live.change("quiet")
    with live.terminal.start("up", "--yes", "--json") as process, Poller(live.ask) as poller:
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if COPIED in line and "watched" in line:
                process.send_signal(signal.SIGINT)
                break
        said += process.communicate()[1]
    assert process.returncode == 130, said
    assert "interrupted: nothing is copied to" in said
    assert (live.weights(), mirrors(live), live.serving()) == (before, {}, serving)
    assert poller.errors == []


def test_the_guard_takes_the_copies_off_when_nobody_leads(live: Live) -> None:
    """The next `up` begins the copies again, and promotes."""
    before = live.weights()
    with Poller(live.ask) as poller:
        live.change("fine")
        code = live.terminal.killed(
            "up", "--yes", "--json", when=lambda said: COPIED in said and ", watched, " in said
        )
        assert code == -signal.SIGKILL
        assert set(mirrors(live).values()) == {None}
        wait_for(lambda: live.record().restored)
        assert (live.weights(), mirrors(live), live.record().cause) == (before, {}, "silence")
        done = live.terminal.type("up", "--yes", "--json")
    assert (done.json["state"], done.json["verified"]) == ("live", True)
    assert poller.errors == []
    assert live.weights() != before
