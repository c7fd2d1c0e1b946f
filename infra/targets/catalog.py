"""The targets there are: packages and files in this folder, or entry points `target.<name>`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from infra.targets.base import Target
from modelpack.errors import BadInput
from modelpack.inputs.catalog import Catalog, is_path


def targets() -> Catalog[Target]:
    """The catalogue of targets, by the name that `serve.target` says."""
    return Catalog("target", "infra.targets", Target)


@dataclass(frozen=True)
class KnownTargets(Mapping[str, Target]):
    """The targets by name; of one that is asked for only its own package is imported."""

    catalog: Catalog[Target] = field(default_factory=targets)

    def __getitem__(self, name: str) -> Target:
        if is_path(name):
            raise KeyError(name)
        try:
            return self.catalog.get(name)
        except BadInput:
            if name in self.catalog.names():
                raise
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.catalog.names())

    def __len__(self) -> int:
        return len(self.catalog.names())
