"""What follows from a project in one environment alike, whoever's cloud it is: target, traffic, ledger."""

from __future__ import annotations

import abc
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cli.who import now

if TYPE_CHECKING:
    from infra.aws_session import AwsSession
    from infra.targets.base import Target, Traffic
    from modelpack.progress import Progress
    from stacks.records.ledger import Ledger
    from stacks.records.owner import Owner
    from stacks.records.store import RecordStore
    from stacks.spec import Spec

STATE = ".ecomdeploy"
"""The folder beside ecomdeploy.yaml that has a project's records, by environment."""


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
    def session(self) -> AwsSession | None:
        """All clients of AWS come from it; None where nothing is AWS's."""
        return None

    @property
    @abc.abstractmethod
    def store(self) -> RecordStore:
        """Where the records lie."""

    @property
    @abc.abstractmethod
    def state(self) -> Path:
        """The folder of the records, where they are in one."""

    def sign(self, name: str) -> Owner:
        """This folder, as an owner that has no id yet; `name`: whoever works here."""
        from stacks.records.owner import Owner

        return Owner(id="", folder=str(self.folder.resolve()), host=socket.gethostname(), who=name)

    def stands(self, owner: Owner) -> bool | None:
        """Whether another folder than this, the one that owner was given its id in, still has it. Of another machine's
        and of what this user may not read nobody knows (None). By whichever path, this folder is not another."""
        from stacks.records.owner import read_owner
        from stacks.records.store import FolderStore

        if owner.host != socket.gethostname():
            return None
        inside = self.state.is_relative_to(self.folder)
        there = Path(owner.folder) / self.state.relative_to(self.folder) if inside else self.state
        try:
            if there.exists() and self.state.exists() and there.samefile(self.state):
                return False
            found = read_owner(FolderStore(there))
        except NotADirectoryError:
            return False
        except OSError:
            return None
        return found is not None and found.id == owner.id

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
        return self.target.traffic(self.environment, self.session)
