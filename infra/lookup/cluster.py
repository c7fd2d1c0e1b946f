"""The lookup on a cluster. Nothing has to be found there: what a killed run made is applied once more, by the same
manager."""

from __future__ import annotations

from dataclasses import dataclass

from infra.lookup.base import PendingCreate, Remnant


@dataclass(frozen=True)
class ClusterLookup:
    """pulumi-kubernetes creates by server-side apply, which takes an object of the same name and manager as it is
    (https://www.pulumi.com/registry/packages/kubernetes/how-to-guides/managing-resources-with-server-side-apply/)."""

    def knows(self, type: str) -> bool:  # noqa: A002  (Pulumi's word)
        """See ResourceLookup."""
        return type.startswith("kubernetes:")

    def find(self, wanted: PendingCreate) -> str | None:
        """Always made again."""
        return None

    def remnants(self, stack: str) -> tuple[Remnant, ...]:
        """Objects on a cluster carry no stack's tags."""
        return ()
