"""What follows from a project in one environment alike, whoever's cloud it is: target, traffic, ledger."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cli.who import now

if TYPE_CHECKING:
    from infra.targets.base import Target, Traffic
    from modelpack.progress import Progress
    from stacks.records.ledger import Ledger
    from stacks.records.store import RecordStore
    from stacks.spec import Spec


@dataclass(frozen=True)
class PlacedProject(abc.ABC):
    """`folder`: the project's; `spec`: as it is for that environment."""

    folder: Path
    spec: Spec
    progress: Progress

    @property
    @abc.abstractmethod
    def environment(self) -> Mapping[str, str]:
        """Variables with credentials and addresses."""

    @property
    @abc.abstractmethod
    def store(self) -> RecordStore:
        """Where the records lie."""

    @cached_property
    def ledger(self) -> Ledger:
        from stacks.records.ledger import Ledger

        return Ledger(self.store, now, "ledger/", self.spec.service)

    @cached_property
    def target(self) -> Target:
        from infra.targets.catalog import targets

        return targets().get(self.spec.serve.target)

    @property
    def traffic(self) -> Traffic:
        return self.target.traffic(self.environment)
