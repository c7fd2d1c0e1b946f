"""The add-ons there are."""

from __future__ import annotations

from infra.rehearsal.cloud.kubernetes.addons.base import Addon
from infra.rehearsal.cloud.kubernetes.addons.karpenter.programs import addon as karpenter
from infra.rehearsal.cloud.kubernetes.addons.keda.programs import addon as keda
from modelpack.errors import BadInput


def addons() -> tuple[Addon, ...]:
    """All of them, in the order in which they come up."""
    return (keda(), karpenter())


def find_addon(name: str) -> Addon:
    """One of them. Raises BadInput where there is none of that name."""
    for one in addons():
        if one.source.name == name:
            return one
    raise BadInput(f"no add-on {name!r} of the local Kubernetes")
