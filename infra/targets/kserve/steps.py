"""A rollout in steps: the weights of the one route, moved by whoever leads, held by a guard in the cluster.

The Lease says how far it is, so another run goes on from there. Each step writes the Lease first and then the route, on
the very version of it that was read before: a leader that slept through its own rollout (a laptop that was closed)
moves nothing any more.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType

from infra.kubernetes.base import KubernetesApi
from infra.kubernetes.client import KubernetesRefused
from infra.kubernetes.patience import PAUSE, look_patiently
from infra.targets.base import Clock, Look
from infra.targets.kserve.guard_job import JOB, guard_job, guard_trouble
from infra.targets.kserve.lease import Heartbeat, RolloutLease, WentBack
from infra.targets.kserve.manifests import ISVC, ISVC_KIND, ROUTE, ROUTE_KIND, rules
from infra.targets.kserve.names import ClusterPlace, address_for_pods
from infra.targets.kserve.observe import find_way, look, observe
from infra.targets.moves import ShiftPolicy
from modelpack.errors import EcomdeployError, Unhealthy
from modelpack.progress import Progress
from modelpack.server.guarding.cluster import MANAGER
from modelpack.server.guarding.record import ENDED, HAND, StepsRecord

GUARD_SECONDS = 180.0
"""How long its guard may take to come before a rollout is given up; nothing has moved by then."""
LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class SteppedRollout:
    """Rollouts in steps of one endpoint. One whose only share is 0 is a release that gets copies of the requests:
    `copied` percent of them."""

    api: KubernetesApi
    place: ClusterPlace
    endpoint: str
    clock: Clock = field(default_factory=Clock)
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    copied: int = 0

    @property
    def lease(self) -> RolloutLease:
        return RolloutLease(self.api, self.place.namespace, self.endpoint)

    def begin(self, revision: str, policy: ShiftPolicy) -> bool:
        """Write down what is to come, start the guard, wait for it, and take the first step: True.

        Raises:
            EcomdeployError: the guard does not come, or another rollout is under way. Nothing has moved.
        """
        way = find_way(self.api, self.place.namespace, self.endpoint)
        if way is None:
            raise EcomdeployError(f"there is no endpoint {self.endpoint}", hint="ecomdeploy up makes it")
        old = max(way.weights, key=lambda one: way.weights[one])
        moment = self.now().isoformat()
        record = StepsRecord(
            id=uuid.uuid4().hex[:10],
            old=old,
            new=revision,
            shares=(0,) if self.copied else policy.shares,
            began=moment,
            since=moment,
            bake=policy.bake,
            silence=policy.silence,
            pace=self.place.pace,
        )
        self.lease.begin(record)
        with Heartbeat(self.lease, record), self.end_unless_guarded(record):
            self.start_guard(record)
            self.await_guard(record)
        try:
            self.set_share(record, 0)
        except EcomdeployError:
            with contextlib.suppress(EcomdeployError):
                self.turn_back(HAND, "it could not begin")
            raise
        return True

    @contextlib.contextmanager
    def end_unless_guarded(self, record: StepsRecord) -> Iterator[None]:
        """A rollout without a guard is none: the Lease says that it has ended."""
        try:
            yield
        except BaseException:
            with contextlib.suppress(EcomdeployError):
                self.end(record)
            raise

    def start_guard(self, record: StepsRecord) -> None:
        space = self.place.namespace
        route = self.api.get(ROUTE, ROUTE_KIND, self.endpoint, space)
        isvc = self.api.get(ISVC, ISVC_KIND, record.new, space)
        if route is None or isvc is None:
            raise EcomdeployError(f"{self.endpoint if route is None else record.new} is gone")
        address = address_for_pods(self.place.prometheus)
        self.api.create(guard_job(self.endpoint, space, record, route, isvc, address))

    def await_guard(self, record: StepsRecord) -> None:
        end = self.clock.now() + GUARD_SECONDS
        while not look_patiently(lambda: self.lease.has_guard(record.id), end, self.clock):
            if self.clock.now() > end:
                raise EcomdeployError(
                    f"nothing was moved: the rollout's guard does not start: {self.trouble(record)}",
                    hint="without a guard a bad release could stay in traffic; strategy: all-at-once has none",
                )
            self.clock.sleep(PAUSE)

    def trouble(self, record: StepsRecord) -> str:
        """Why the guard does not come, in the cluster's words."""
        name = f"{self.endpoint}-guard-{record.id}"
        job = self.api.get(*JOB, name, self.place.namespace)
        pods = self.api.list("v1", "Pod", self.place.namespace, labels=f"job-name={name}")
        return guard_trouble(job, pods) or f"not after {GUARD_SECONDS:g} s"

    def set_share(self, record: StepsRecord, step: int) -> StepsRecord:
        """The new release's share of that step, from now on. Raises as RolloutLease.change."""
        while True:
            route = self.api.get(ROUTE, ROUTE_KIND, self.endpoint, self.place.namespace)
            if route is None:
                raise EcomdeployError(f"there is no endpoint {self.endpoint}", hint="ecomdeploy up makes it")
            news = {"step": step, "since": self.now().isoformat()}
            written = self.lease.change(record.id, partial(replace, **news))
            share = written.share
            weights = {written.old: 100 - share, written.new: share}
            copies = {} if share else {written.new: self.copied or 100}
            try:
                version = str(route["metadata"].get("resourceVersion", ""))
                self.put({name: part for name, part in weights.items() if part}, version, copies)
                return written
            except KubernetesRefused as refused:
                # somebody wrote the route meanwhile: its gateway, or the guard, and then the Lease says so
                if refused.status != 409:
                    raise

    def put(
        self, weights: Mapping[str, int], version: str = "", copies: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        """Where the route leads; `version`: only while it is that one. Raises EcomdeployError where the cluster forgets
        how many percent are to be copied."""
        metadata = {"name": self.endpoint, "namespace": self.place.namespace}
        wanted = {
            "apiVersion": ROUTE,
            "kind": ROUTE_KIND,
            "metadata": metadata | ({"resourceVersion": version} if version else {}),
            "spec": {"rules": rules(weights, copies)},
        }
        self.api.apply(wanted, MANAGER, force=True)
        kept = find_way(self.api, self.place.namespace, self.endpoint) if copies else None
        if kept is not None and dict(kept.copies) != dict(copies):
            what = "the cluster's Gateway API copies all requests or none: percent came with its version 1.3"
            raise EcomdeployError(what, hint="rollout: {shadow: {share: 100}}")

    def lead(self, record: StepsRecord, progress: Progress, deadline: float, look_on: Look) -> None:
        """From where the rollout is to its end, a step at a time; `deadline` in seconds from now.

        Raises:
            Unhealthy: it went back, the new release or the old one does not answer, or it takes too long. Whoever
            looks on may raise it, too. EcomdeployError: the cluster does not answer.
            KeyboardInterrupt: with all traffic back on the old release.
        """
        end = self.clock.now() + deadline
        try:
            with Heartbeat(self.lease, record):
                while True:
                    record = look_patiently(partial(self.look, record, look_on), end, self.clock)
                    if not record.watching:
                        return
                    if self.clock.now() > end:
                        raise Unhealthy(f"{self.endpoint} is at {record.share} % after {deadline:g} s")
                    self.clock.sleep(LOOK_SECONDS)
        except KeyboardInterrupt:
            self.turn_back(HAND, "interrupted while it was watched")
            back = f"all traffic is back on {record.old}"
            progress.note(
                f"interrupted: {back if record.share else f'nothing is copied to {record.new} any more'}"
            )
            raise

    def look(self, record: StepsRecord, look_on: Look) -> StepsRecord:
        """One look, and the next step where its bake is over and nobody says a word against it."""
        record = self.lease.change(record.id, lambda one: one)
        way = find_way(self.api, self.place.namespace, self.endpoint)
        if way is not None and not record.share and way.refusal:
            raise Unhealthy(f"the gateway copies no requests: {way.refusal}")
        copies = record.share > 0 or (way is not None and record.new in way.copies)
        if way is not None and (way.weights.get(record.new, 0) != record.share or not copies):
            return self.set_share(record, record.step)  # whoever led it was killed between the two
        seen = observe(self.api, self.place.namespace, self.endpoint)
        look_on(seen)
        running = look(self.api, self.place.namespace, record.new)
        if not running.available:
            raise Unhealthy(f"no pod of {record.new} answers any more: {running.trouble or 'none is there'}")
        if seen.baking is None or (self.now() - seen.baking).total_seconds() < record.bake:
            return record
        if not look(self.api, self.place.namespace, record.old).available:
            raise Unhealthy(f"no pod of {record.old} answers any more, so nothing could go back to it")
        look_on(replace(seen, due=datetime.fromisoformat(record.since)))
        if record.step + 1 < len(record.shares):
            return self.set_share(record, record.step + 1)
        if not record.share:
            # before the Lease says that nobody watches any more: its guard takes away what a kill leaves
            self.put({record.old: 100})
        return self.end(record)

    def end(self, record: StepsRecord) -> StepsRecord:
        """Nothing is watched any more; its guard ends by itself."""
        return self.lease.change(record.id, lambda one: replace(one, state=ENDED))

    def turn_back(self, cause: str, reason: str) -> None:
        """All traffic on the old release of a rollout that is under way, at once.

        Raises:
            WentBack: it was turned back before. Unhealthy: none is under way.
        """
        record = self.lease.read()
        if record is None or not record.watching:
            raise Unhealthy(f"no rollout of {self.endpoint} is under way")
        moment = self.now().isoformat()
        with contextlib.suppress(WentBack):  # then its guard may have been killed before it moved anything
            self.lease.change(record.id, lambda one: one.go_back(cause, "", reason, moment))
        self.put({record.old: 100})
        self.lease.mark_restored(record.id)
