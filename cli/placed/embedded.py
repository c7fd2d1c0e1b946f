"""The embedded engine as the driver gets it: what runs a stack, and the quick look at one that converged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def embedded_engine(environment: Mapping[str, str], loader: Any = None) -> Any:
    """The embedded engine with its providers. `loader`: botocore's, where one has read AWS's models already."""
    from infra.rehearsal.engine.commands.command import EmbeddedPulumiCommand
    from infra.rehearsal.providers.packages import PackageProviders

    return EmbeddedPulumiCommand(PackageProviders(loader), environment=environment)


def embedded_look(
    folder: Path, environment: Mapping[str, str], loader: Any = None
) -> Callable[[str, str], bool]:
    """Whether a stack (of a Pulumi project) is as the embedded engine left it; state in `folder`. `loader`: botocore's,
    where one has read AWS's models already."""

    def is_as_left(project: str, stack: str) -> bool:
        from infra.rehearsal.engine.drift import find_drift
        from infra.rehearsal.engine.state.checkpoint import StackFiles
        from infra.rehearsal.providers.packages import PackageProviders
        from stacks.pulumi_driver.automation import passphrase

        providers = PackageProviders(loader)
        secret = passphrase(folder.parent / "passphrase")
        return not find_drift(StackFiles(folder, project, stack), providers, environment, secret)

    return is_as_left
