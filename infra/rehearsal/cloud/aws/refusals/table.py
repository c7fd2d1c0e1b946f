"""Every row of this package, by the call that it is about."""

from __future__ import annotations

import pkgutil
from collections import defaultdict
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

from infra.rehearsal.cloud.aws.refusals.row import RefusalRow

if TYPE_CHECKING:
    from infra.rehearsal.cloud.aws.calls import ApiCall
    from infra.rehearsal.cloud.aws.overlay.base import Surroundings

PACKAGE = "infra.rehearsal.cloud.aws.refusals"


@dataclass
class RefusalTable:
    """`rows`: in the order of files and lines; read when made."""

    rows: tuple[RefusalRow, ...] = ()
    _checked: dict[tuple[str, str], list[RefusalRow]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        names = sorted(module.name for module in pkgutil.iter_modules(import_module(PACKAGE).__path__))
        modules = (import_module(f"{PACKAGE}.{name}") for name in names)
        self.rows = tuple(row for module in modules for row in getattr(module, "ROWS", ()))
        for row in self.rows:
            if row.find:
                self._checked[row.service, row.operation].append(row)

    def check(self, account: Surroundings, call: ApiCall) -> None:
        """Raises ApiError with the first row's words that refuses the call."""
        for row in self._checked.get((call.service, call.operation), ()):
            row.check(account, call)
