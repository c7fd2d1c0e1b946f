"""The targets there are: packages and files in this folder, or entry points `target.<name>`."""

from __future__ import annotations

from infra.targets.base import Target
from modelpack.catalog import Catalog


def targets() -> Catalog[Target]:
    """The catalogue of targets, by the name that `serve.target` says."""
    return Catalog("target", "infra.targets", Target)
