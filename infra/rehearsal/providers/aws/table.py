"""The AWS table: every row and data source of the service files in this package, found by scanning it.

A service file has `RESOURCES` (rows) or `FUNCTIONS` (data sources by token); a new service is a new file.
"""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from importlib.resources import files

from infra.rehearsal.providers.aws.resource import Function, ResourceType

PACKAGE = "infra.rehearsal.providers.aws"


@dataclass(frozen=True)
class Facts:
    """What `facts.json` says of one type, in pulumi's dotted names."""

    replaces: frozenset[str] = frozenset()
    read_only: frozenset[str] = frozenset()


@dataclass
class TypeTable:
    """Rows by type token, data sources by token, facts by type token; read from the package on first use."""

    resources: dict[str, ResourceType] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for module in pkgutil.walk_packages(import_module(PACKAGE).__path__, f"{PACKAGE}."):
            if module.name.endswith("_make"):
                continue
            loaded = import_module(module.name)
            self.resources |= {row.type: row for row in getattr(loaded, "RESOURCES", ())}
            self.functions |= getattr(loaded, "FUNCTIONS", {})

    @cached_property
    def facts(self) -> Mapping[str, Facts]:
        written = json.loads(files(PACKAGE).joinpath("facts.json").read_text())["types"]
        return {
            token: Facts(frozenset(entry["replaces"]), frozenset(entry["read_only"]))
            for token, entry in written.items()
        }

    def replaces(self, row: ResourceType, path: str) -> bool:
        """Whether a change at the dotted path needs a new resource: the row's exceptions, then the facts."""
        names = path.split(".")
        properties = row.all_properties()
        for name in names:
            shape = properties.get(name)
            if shape is None:
                break
            if shape.replaces is not None:
                return shape.replaces
            properties = dict(shape.of)
        known = self.facts.get(row.type, Facts()).replaces
        return any(".".join(names[:length]) in known for length in range(1, len(names) + 1))
