"""Makes of each InferenceService its objects and its status, level-based.

Woken by changes of InferenceServices and of the Deployments, Services and routes they own; never by pods or
autoscalers (recorded: a deleted HPA comes back with the next reconcile for another cause, a crash shows only then)."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from infra.kubernetes.client import (
    KubernetesClient,
    KubernetesRefused,
    KubernetesUnreachable,
    Object,
)
from infra.kubernetes.follow import Follow, Name, name_of
from infra.kubernetes.objects import now
from infra.rehearsal.cloud.kubernetes.kserve.reconcile import Reconciler
from infra.rehearsal.cloud.kubernetes.kserve.words import API_VERSION, KIND

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 60.0
"""Seconds before a reconcile that failed is tried again, doubled each time."""
OWNED = (
    ("apps/v1", "Deployment"),
    ("v1", "Service"),
    ("networking.k8s.io/v1", "Ingress"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
)

Fingerprint = tuple[str, ...]


@dataclass
class ReconcileTurn:
    """What the last reconcile of one object saw, and when the next is due though nothing changes."""

    saw: Fingerprint
    again_at: float | None = None
    pause: float = FIRST_PAUSE
    over: bool = False


@dataclass
class Controller:
    """`run` works until `stop`. One thread: the objects of a laptop are few."""

    client: KubernetesClient
    reconciler: Reconciler
    _woken: threading.Event = field(default_factory=threading.Event)
    _ending: threading.Event = field(default_factory=threading.Event)
    _turns: dict[Name, ReconcileTurn] = field(default_factory=dict)

    def stop(self) -> None:
        """End after the reconcile under way."""
        self._ending.set()
        self._woken.set()

    def has_done(self, isvc: Object, owned: Iterable[tuple[str, Object]]) -> bool:
        """Whether the last reconcile of this object went well and saw it and what it owns (kind and object each) as
        they are given: nothing is due then until one of them changes."""
        turn = self._turns.get(name_of(isvc))
        saw = _fingerprint(isvc, _versions_by_owner(owned))
        return turn is not None and turn.over and turn.again_at is None and turn.saw == saw

    def run(self) -> None:
        """Follow and reconcile."""
        services = Follow(self.client, API_VERSION, KIND, self._woken.set).start()
        children = [Follow(self.client, version, kind, self._woken.set).start() for version, kind in OWNED]
        try:
            while not self._ending.is_set():
                self._woken.wait(self._seconds_left())
                self._woken.clear()
                if services.listed.is_set():
                    self._go_round(services, children)
        finally:
            for one in (services, *children):
                one.stop()

    def _seconds_left(self) -> float | None:
        due = [turn.again_at for turn in self._turns.values() if turn.again_at is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _go_round(self, services: Follow, children: list[Follow]) -> None:
        found = {name_of(one): one for one in services.all()}
        for gone in self._turns.keys() - found.keys():
            del self._turns[gone]
        owned = _versions_by_owner((follow.kind, obj) for follow in children for obj in follow.all())
        for name, isvc in found.items():
            saw = _fingerprint(isvc, owned)
            if not self._ending.is_set() and self._is_due(name, saw):
                self._reconcile(name, saw)

    def _is_due(self, name: Name, saw: Fingerprint) -> bool:
        turn = self._turns.get(name)
        if turn is None or turn.saw != saw:
            return True
        return turn.again_at is not None and turn.again_at <= time.monotonic()

    def _reconcile(self, name: Name, saw: Fingerprint) -> None:
        """One turn; a failure is logged and tried again later."""
        before = self._turns.get(name)
        turn = self._turns[name] = ReconcileTurn(saw)
        try:
            fine = self.reconciler.reconcile(*name)
        except KubernetesRefused as refused:
            if refused.status != 409:
                _log(name, str(refused))
            fine = False
            turn.again_at = time.monotonic() if refused.status == 409 else None
        except KubernetesUnreachable as error:
            _log(name, str(error))
            fine = False
        except Exception as error:
            # as the real controller: it recovers from its own panics and tries again, the object untouched
            _log(name, f"{type(error).__name__}: {error}")
            fine = False
        if not fine and turn.again_at is None:
            pause = before.pause if before is not None and before.saw == saw else FIRST_PAUSE
            turn.again_at, turn.pause = time.monotonic() + pause, min(2 * pause, LONGEST_PAUSE)
        turn.over = True


def _fingerprint(isvc: Object, owned: Mapping[str, list[str]]) -> Fingerprint:
    metadata = isvc["metadata"]
    return metadata["resourceVersion"], *sorted(owned.get(metadata["uid"], ()))


def _versions_by_owner(objects: Iterable[tuple[str, Object]]) -> dict[str, list[str]]:
    """Kind, name and resourceVersion of each owned object, by its controller's uid."""
    found: dict[str, list[str]] = {}
    for kind, obj in objects:
        for uid in _controllers(obj):
            version = f"{kind}/{obj['metadata']['name']}/{obj['metadata']['resourceVersion']}"
            found.setdefault(uid, []).append(version)
    return found


def _controllers(obj: Object) -> Iterator[str]:
    references = obj["metadata"].get("ownerReferences") or ()
    return (one["uid"] for one in references if one.get("controller") and one["kind"] == KIND)


def _log(name: Name, message: str) -> None:
    print(f"{now()} {name[0]}/{name[1]}: {message}", file=sys.stderr, flush=True)
