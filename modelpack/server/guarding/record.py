"""What a rollout's Lease says: who leads it, how far it is, and what became of it. The leader renews it; the guard and
whoever comes later read it, and each change is made on the version that was read.

Source of the Lease's own fields: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/lease-v1/
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

ROLLOUT, GUARD = "ecomdeploy.dev/rollout", "ecomdeploy.dev/guard"
"""Annotations of the Lease: the record, and the id of the rollout whose guard is at work."""
WATCHING, BACK, ENDED = "watching", "back", "ended"
LEASE, LEASE_KIND = "coordination.k8s.io/v1", "Lease"
SILENCE, ALARM, HAND, WRONG = "silence", "alarm", "hand", "wrong"
"""Why traffic went back: nobody led any more, an alarm rang, somebody asked for it, the release did not pass."""
Object = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class StepsRecord:
    """One rollout in steps. `old`, `new`: revisions; `shares`: percent of the traffic that the new one has after each
    step; `step`: where it is; `began`, `since`: when it began, and when this step did (ISO 8601); `bake`, `silence`:
    seconds, which pass `pace` times as fast; `state`: one of the words above; `cause`, `name`, `reason`, `at`: why it
    went back, which alarm, in which words, when; `restored`: and that all traffic is on the old one again."""

    id: str
    old: str
    new: str
    shares: tuple[int, ...]
    began: str
    since: str
    bake: float
    silence: float
    pace: float = 1.0
    step: int = 0
    state: str = WATCHING
    cause: str = ""
    name: str = ""
    reason: str = ""
    at: str = ""
    restored: bool = False

    @property
    def share(self) -> int:
        """What the new release has now."""
        return self.shares[self.step]

    @property
    def watching(self) -> bool:
        return self.state == WATCHING

    def go_back(self, cause: str, name: str, reason: str, at: str) -> StepsRecord:
        return replace(self, state=BACK, cause=cause, name=name, reason=reason, at=at)


def read_record(lease: Mapping[str, Any] | None) -> StepsRecord | None:
    """What a Lease says; None where it says nothing that can be read."""
    text = ((lease or {}).get("metadata", {}).get("annotations") or {}).get(ROLLOUT)
    try:
        found = json.loads(text or "")
        return StepsRecord(**{**found, "shares": tuple(found["shares"])})
    except (ValueError, LookupError, TypeError):
        return None


def write_record(lease: Mapping[str, Any], record: StepsRecord) -> Object:
    """The Lease with that record, to be put in the place of the one that was read."""
    metadata = dict(lease["metadata"])
    annotations = {**(metadata.get("annotations") or {}), ROLLOUT: json.dumps(asdict(record))}
    return {**lease, "metadata": {**metadata, "annotations": annotations}}


def lease_name(endpoint: str) -> str:
    return f"{endpoint}-rollout"
