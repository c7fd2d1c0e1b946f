"""The embedded engine as the driver gets it: what runs a stack, and the quick look at one that converged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infra.rehearsal.providers.packages import PackageProviders


@dataclass(frozen=True)
class EmbeddedPulumi:
    """One project's, with its state in `folder`. What it runs and how it looks share providers, hence clients.
    `loader`: botocore's, where one has read AWS's models already."""

    folder: Path
    environment: Mapping[str, str]
    loader: Any = None

    @cached_property
    def providers(self) -> PackageProviders:
        from infra.rehearsal.providers.packages import PackageProviders

        return PackageProviders(self.loader)

    def command(self) -> Any:
        """A `PulumiCommand`."""
        from infra.rehearsal.engine.commands.command import EmbeddedPulumiCommand

        return EmbeddedPulumiCommand(self.providers, environment=self.environment)

    def is_as_left(self, project: str, stack: str) -> bool:
        """Whether a stack (of a Pulumi project) is as the engine left it. Raises what reading it does."""
        from infra.rehearsal.engine.drift import find_drift
        from infra.rehearsal.engine.state.checkpoint import StackFiles
        from stacks.pulumi_driver.automation import passphrase

        secret = passphrase(self.folder.parent / "passphrase")
        return not find_drift(
            StackFiles(self.folder, project, stack), self.providers, self.environment, secret
        )
