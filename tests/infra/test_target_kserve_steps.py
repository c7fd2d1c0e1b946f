"""A rollout in steps on a cluster, against objects in memory: what is written when, and who may still move anything."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from infra.kubernetes.base import Object
from infra.kubernetes.client import KubernetesRefused
from infra.spec import AlarmSpec
from infra.targets.base import Observation, Phase
from infra.targets.kserve.alarms import RULES, alarm_rules, endpoint_of, map_name
from infra.targets.kserve.guard import find_metrics
from infra.targets.kserve.lease import WentBack
from infra.targets.kserve.names import address_for_pods
from infra.targets.kserve.steps import GUARD_SECONDS, SteppedRollout
from infra.targets.moves import ShiftPolicy, Strategy
from modelpack.errors import BadInput, EcomdeployError, Unhealthy
from modelpack.progress import Silent
from modelpack.server.guarding.alarms import write_rules
from modelpack.server.guarding.record import GUARD, LEASE_KIND, StepsRecord, write_record
from tests.infra.test_target_kserve_traffic import NEW, OLD, Cluster

ENDPOINT = "shop-local"
POLICY = ShiftPolicy(
    strategy=Strategy.CANARY,
    share=10,
    steps=(10, 50),
    bake=300,
    alarms=("shop-local-error-rate",),
    requests=10,
)


class Stepped(Cluster):
    """The cluster of the other tests, with both releases up, and moments that pass as its clock is slept on."""

    def __init__(self) -> None:
        super().__init__()
        for revision in (OLD, NEW):
            self.release(revision)
            self.run(revision)
        self.route(OLD)
        route = self.api.get("", "HTTPRoute", ENDPOINT, "shop") or {}
        route |= {"apiVersion": "gateway.networking.k8s.io/v1"}
        route["metadata"]["uid"] = "u"
        self.api.put(route)
        self.began = datetime.now(UTC)
        place = replace(self.traffic.place, prometheus="monitoring/prometheus:80")
        self.traffic.place = place
        self.steps = SteppedRollout(self.api, place, ENDPOINT, self.traffic.clock, self.now)

    def now(self) -> datetime:
        return self.began + timedelta(seconds=self.waiting.seconds)

    def sign(self) -> None:
        """What the guard does first."""
        lease = self.api.get("", LEASE_KIND, f"{ENDPOINT}-rollout", "shop") or {}
        record = self.record()
        lease["metadata"]["annotations"] |= {GUARD: record.id}
        self.api.put(lease)

    def record(self) -> StepsRecord:
        found = self.steps.lease.read()
        assert found is not None
        return found

    def weights(self) -> dict[str, int]:
        route = self.api.get("", "HTTPRoute", ENDPOINT, "shop") or {}
        refs = route["spec"]["rules"][0]["backendRefs"]
        return {one["name"].removesuffix("-predictor"): one["weight"] for one in refs}

    def begin(self) -> StepsRecord:
        self.waiting.planned = [(0.2, self.sign)]
        assert self.steps.begin(NEW, POLICY)
        return self.record()

    def bake(self, seconds: float = 301) -> None:
        """The step began so long ago."""
        lease = self.api.get("", LEASE_KIND, f"{ENDPOINT}-rollout", "shop") or {}
        since = datetime.now(UTC) - timedelta(seconds=seconds)
        self.api.put(write_record(lease, replace(self.record(), since=since.isoformat())))


@pytest.fixture
def cluster() -> Stepped:
    return Stepped()


def pass_all(seen: Observation) -> None:
    """Whoever looks on has nothing against it."""


def test_nothing_moves_before_the_guard_is_at_work(cluster: Stepped) -> None:
    cluster.begin()
    assert cluster.weights() == {OLD: 90, NEW: 10}
    kinds = [change.split()[1] for change in cluster.api.changes]
    assert kinds.index("Lease") < kinds.index("Job") < kinds.index("HTTPRoute")
    (job,) = cluster.api.list("batch/v1", "Job", "shop")
    pod = job["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert (pod["serviceAccountName"], container["args"]) == (f"{ENDPOINT}-guard", ["guard"])
    assert {one["name"]: one.get("value") for one in container["env"]}["ECOMDEPLOY_PROMETHEUS"] == (
        "http://prometheus.monitoring.svc:80"
    )
    seen = cluster.traffic.observe(ENDPOINT)
    assert (seen.phase, seen.revision, seen.destination, seen.share) == (Phase.CHANGING, OLD, NEW, 10)


def test_without_a_guard_nothing_moves(cluster: Stepped) -> None:
    with pytest.raises(EcomdeployError, match="nothing was moved: the rollout's guard does not start"):
        cluster.steps.begin(NEW, POLICY)
    assert cluster.waiting.seconds > GUARD_SECONDS
    assert cluster.weights() == {OLD: 100}
    assert cluster.record().state == "ended"


def test_each_step_is_passed_by_whoever_looks_on_and_the_last_ends_it(cluster: Stepped) -> None:
    record, seen = cluster.begin(), []

    def look(at: Observation) -> None:
        seen.append((at.share, at.due is not None))

    for share in (10, 50, 100):
        record = cluster.steps.look(record, look)
        assert seen[-1] == (share, False)
        cluster.bake()
        record = cluster.steps.look(record, look)
        assert seen[-1] == (share, True)
    assert (record.state, cluster.weights()) == ("ended", {NEW: 100})
    assert cluster.traffic.observe(ENDPOINT).phase is Phase.SERVING


def test_a_leader_that_slept_through_its_own_rollout_moves_nothing(cluster: Stepped) -> None:
    record = cluster.begin()
    cluster.steps.turn_back("hand", "another was asked for")
    with pytest.raises(WentBack, match="another was asked for"):
        cluster.steps.set_share(record, 1)
    assert cluster.weights() == {OLD: 100}


def test_a_route_that_was_written_meanwhile_is_looked_at_again(cluster: Stepped) -> None:
    """The guard wrote the Lease and the route between the leader's two writes."""
    record, apply = cluster.begin(), cluster.api.apply

    def conflict(obj: Object, manager: str, *, force: bool = False, dry_run: bool = False) -> Object:
        cluster.api.apply = apply  # type: ignore[method-assign]
        cluster.steps.turn_back("silence", "nobody led it")
        raise KubernetesRefused(409, "Conflict", "the object has been modified")

    cluster.api.apply = conflict  # type: ignore[method-assign]
    with pytest.raises(WentBack, match="nobody led it"):
        cluster.steps.set_share(record, 1)
    assert cluster.weights() == {OLD: 100}


def test_a_leader_that_was_killed_between_its_two_writes_is_gone_on_for(cluster: Stepped) -> None:
    record = cluster.begin()
    record = cluster.steps.lease.change(record.id, lambda one: replace(one, step=1))
    assert cluster.weights() == {OLD: 90, NEW: 10}
    cluster.steps.look(record, pass_all)
    assert cluster.weights() == {OLD: 50, NEW: 50}


@pytest.mark.parametrize(
    ("gone", "words"), [(NEW, "no pod of .*bbb answers"), (OLD, "nothing could go back to it")]
)
def test_a_release_that_answers_no_more_ends_it(cluster: Stepped, gone: str, words: str) -> None:
    record = cluster.begin()
    cluster.bake()
    cluster.deployment(gone, replicas=1, available=0, once=True)
    with pytest.raises(Unhealthy, match=words):
        cluster.steps.look(record, pass_all)


def test_an_interrupt_puts_the_traffic_back(cluster: Stepped) -> None:
    def interrupt(at: Observation) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cluster.steps.lead(cluster.begin(), Silent(), 900, interrupt)
    assert (cluster.weights(), cluster.record().cause) == ({OLD: 100}, "hand")


@pytest.mark.parametrize("cause", ["silence", "alarm"])
def test_what_the_guard_did_is_told_by_the_next_look(cluster: Stepped, cause: str) -> None:
    cluster.begin()
    cluster.steps.turn_back(cause, "it had to")
    seen = cluster.traffic.observe(ENDPOINT)
    assert (seen.phase, seen.revision) == (Phase.SERVING, OLD)
    assert seen.turned_back.startswith(f"the guard in the cluster put all traffic back on {OLD} at ")
    assert "it had to" in seen.turned_back


def test_a_rollout_on_its_way_elsewhere_is_turned_back_by_hand(cluster: Stepped) -> None:
    cluster.begin()
    assert cluster.traffic.guard.ring(["shop-local-error-rate"], "a rollback")
    assert cluster.weights() == {OLD: 100}
    assert not cluster.traffic.guard.ring(["shop-local-error-rate"], "a rollback")
    assert cluster.traffic.observe(ENDPOINT).turned_back == "", "somebody asked for it, and knows"


def test_alarms_are_read_from_their_map_and_the_guards_words_are_remembered(cluster: Stepped) -> None:
    rules = alarm_rules(ENDPOINT, "shop", AlarmSpec(error_rate=0.02, p99_ms=50))
    assert [one.name for one in rules] == ["shop-local-error-rate", "shop-local-p99"]
    assert {endpoint_of(one.name) for one in rules} == {ENDPOINT}
    assert endpoint_of("shop-local-0123abcd.declined") == ENDPOINT
    metadata = {"name": map_name(ENDPOINT), "namespace": "shop"}
    cluster.api.put({"kind": "ConfigMap", "metadata": metadata, "data": {RULES: write_rules(rules)}})
    record = cluster.begin()
    went = record.go_back("alarm", rules[0].name, "0.5 of 0.02", cluster.now().isoformat())
    cluster.steps.lease.change(record.id, lambda _: went)
    (found,) = cluster.traffic.guard.find_rung([rules[0].name], cluster.began)
    assert (found.name, found.reason) == (rules[0].name, "0.5 of 0.02")


@pytest.mark.parametrize(
    ("given", "url"),
    [("http://a:9", "http://a:9"), ("m/p:80", "http://p.m.svc:80"), ("m/p", "http://p.m.svc:9090")],
)
def test_pods_reach_prometheus_by_its_service(given: str, url: str) -> None:
    assert address_for_pods(given) == url


def test_no_prometheus_is_told_with_what_to_do(cluster: Stepped) -> None:
    with pytest.raises(BadInput) as told:
        find_metrics(cluster.api, "")
    assert "apt-get install prometheus" in str(told.value.hint)
