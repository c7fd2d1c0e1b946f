"""A release that gets copies on a cluster: the mirror filter of the one route, its guard, and how it ends."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from infra.kubernetes.base import FakeKubernetes, Object
from infra.targets.base import Observation, Phase
from infra.targets.moves import ShadowPhase, ShiftPolicy
from modelpack.errors import EcomdeployError, Unhealthy
from modelpack.progress import Silent
from tests.infra.test_target_kserve_steps import ENDPOINT, Stepped, pass_all
from tests.infra.test_target_kserve_traffic import NEW, OLD

ALARM = "shop-local-error-rate"


def policy(share: int = 100) -> ShiftPolicy:
    return ShiftPolicy(shadow=ShadowPhase(share=share, bake=600, alarms=(ALARM,)))


class Shadowed(Stepped):
    """With copies of some of the requests to the new release."""

    def mirrored(self) -> dict[str, Any]:
        """Percent by release, as the route says it; None where it says nothing of a share."""
        route = self.api.get("", "HTTPRoute", ENDPOINT, "shop") or {}
        filters = [one["requestMirror"] for one in route["spec"]["rules"][0].get("filters", ())]
        return {one["backendRef"]["name"].removesuffix("-predictor"): one.get("percent") for one in filters}

    def copy(self, share: int = 100) -> None:
        self.steps = replace(self.steps, copied=share)
        self.waiting.planned = [(0.2, self.sign)]
        assert self.steps.begin(NEW, policy(share).keep_copies())


class OlderGateway(FakeKubernetes):
    """An API server whose HTTPRoute knows no percentage of copies."""

    def apply(self, obj: Object, manager: str, *, force: bool = False, dry_run: bool = False) -> Object:
        pruned = deepcopy(obj)
        for rule in pruned.get("spec", {}).get("rules", ()):
            for one in rule.get("filters", ()):
                one["requestMirror"].pop("percent", None)
        return super().apply(pruned, manager, force=force, dry_run=dry_run)


@pytest.fixture
def cluster() -> Shadowed:
    return Shadowed()


@pytest.mark.parametrize(("share", "told"), [(100, None), (20, 20)])
def test_copies_are_a_filter_of_the_route_and_callers_stay_where_they_are(
    cluster: Shadowed, share: int, told: int | None
) -> None:
    """Without a percentage all are copied, which every version of the Gateway API knows."""
    cluster.copy(share)
    assert (cluster.weights(), cluster.mirrored()) == ({OLD: 100}, {NEW: told})
    assert (cluster.record().shares, cluster.record().bake) == ((0,), 600)
    seen = cluster.traffic.observe(ENDPOINT)
    assert (seen.phase, seen.revision, seen.destination) == (Phase.CHANGING, OLD, NEW)
    assert (seen.share, seen.copied) == (0, share)
    assert seen.baking is not None
    kinds = [change.split()[1] for change in cluster.api.changes]
    assert kinds.index("Lease") < kinds.index("Job") < kinds.index("HTTPRoute")


def test_in_the_end_nothing_is_copied_any_more_and_nothing_has_moved(cluster: Shadowed) -> None:
    cluster.copy()
    record, seen = cluster.record(), list[Observation]()
    record = cluster.steps.look(record, seen.append)
    assert [one.due for one in seen] == [None]
    cluster.bake(601)
    record = cluster.steps.look(record, seen.append)
    assert seen[-1].due is not None
    assert seen[-1].copied == 100
    assert (record.state, cluster.weights(), cluster.mirrored()) == ("ended", {OLD: 100}, {})
    assert cluster.traffic.observe(ENDPOINT).phase is Phase.SERVING


def test_the_route_is_as_before_before_the_lease_says_that_nobody_watches(cluster: Shadowed) -> None:
    """Else a leader that is killed between the two leaves copies that nobody takes away."""
    cluster.copy()
    cluster.bake(601)
    before = len(cluster.api.changes)
    cluster.steps.look(cluster.record(), pass_all)
    kinds = [change.split()[1] for change in cluster.api.changes[before:]]
    assert kinds.index("HTTPRoute") < len(kinds) - 1 - kinds[::-1].index("Lease")


def test_who_looks_on_may_end_it(cluster: Shadowed) -> None:
    """The leader gives up, and whoever turns it back writes the old rules."""

    def refuse(seen: Observation) -> None:
        raise Unhealthy("it answers wrong")

    cluster.waiting.planned = [(0.2, cluster.sign)]
    with pytest.raises(Unhealthy, match="answers wrong"):
        cluster.traffic.mirror(ENDPOINT, NEW, policy(), Silent(), refuse)
    assert cluster.mirrored() == {NEW: None}
    assert cluster.traffic.guard.ring((ALARM,), "by hand")
    assert (cluster.weights(), cluster.mirrored(), cluster.record().state) == ({OLD: 100}, {}, "back")


def test_an_interrupt_takes_the_copies_off(cluster: Shadowed) -> None:
    def interrupt(seen: Observation) -> None:
        raise KeyboardInterrupt

    cluster.waiting.planned, said = [(0.2, cluster.sign)], Silent()
    with pytest.raises(KeyboardInterrupt):
        cluster.traffic.mirror(ENDPOINT, NEW, policy(), said, interrupt)
    assert f"interrupted: nothing is copied to {NEW} any more" in said.lines
    assert (cluster.weights(), cluster.mirrored()) == ({OLD: 100}, {})


def test_another_run_goes_on_with_the_same_copies(cluster: Shadowed) -> None:
    cluster.copy(20)
    began = cluster.record().id

    def look(seen: Observation) -> None:
        if seen.due is None:
            cluster.bake(601)

    cluster.traffic.mirror(ENDPOINT, NEW, policy(20), Silent(), look)
    assert (cluster.record().id, cluster.record().state, cluster.mirrored()) == (began, "ended", {})


def test_a_gateway_that_copies_nothing_ends_it(cluster: Shadowed) -> None:
    cluster.copy()
    route = cluster.api.get("", "HTTPRoute", ENDPOINT, "shop") or {}
    refused = {
        "type": "Accepted",
        "status": "False",
        "reason": "UnsupportedValue",
        "message": "RequestMirror is not supported",
        "observedGeneration": 99,
    }
    cluster.api.put({**route, "status": {"parents": [{"conditions": [refused]}]}})
    with pytest.raises(Unhealthy, match="the gateway copies no requests: UnsupportedValue: RequestMirror"):
        cluster.steps.look(cluster.record(), pass_all)


def test_a_cluster_that_forgets_the_percentage_copies_nothing(cluster: Shadowed) -> None:
    """An older Gateway API prunes the field, and would copy everything."""
    older = OlderGateway(objects=cluster.api.objects, changes=cluster.api.changes)
    cluster.steps = replace(cluster.steps, api=older)
    with pytest.raises(EcomdeployError, match="copies all requests or none"):
        cluster.copy(20)
    assert (cluster.weights(), cluster.mirrored(), cluster.record().state) == ({OLD: 100}, {}, "back")
