"""The two engines behind one door: the unmodified Automation API runs the same scenario on either."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from pulumi import automation

from infra.rehearsal.engine.commands.command import EmbeddedPulumiCommand
from infra.rehearsal.engine.state.crypt import Keyring
from tests.reality.file_cloud import PACKAGE, VERSION, file_cloud
from tests.reality.plugins import PluginHub


class Engine(Protocol):
    """What a bench needs of an engine. It is pickled into the processes that are killed."""

    name: Literal["embedded", "cli"]

    def command(self) -> automation.PulumiCommand:
        """For the Automation API's workspace."""
        ...

    def variables(self) -> Mapping[str, str]:
        """The workspace's environment, beside backend, passphrase and cloud."""
        ...

    def bury(self, stack: automation.Stack) -> None:
        """A process was killed: its lock goes, as a user lifts it."""


@dataclass
class EmbeddedEngine:
    """Ours. One keyring spares every scenario the key derivation."""

    keyring: Keyring = field(default_factory=Keyring)
    name: Literal["embedded", "cli"] = "embedded"

    def __reduce__(self) -> Any:
        return EmbeddedEngine, ()

    def command(self) -> automation.PulumiCommand:
        return EmbeddedPulumiCommand(file_cloud, environment=dict(os.environ), keyring=self.keyring)

    def variables(self) -> Mapping[str, str]:
        return {}

    def bury(self, stack: automation.Stack) -> None:
        """The kernel has lifted the lock already."""


@dataclass
class CliEngine:
    """The real one: `binary`, with `home` as PULUMI_HOME; the provider is served from the test's process."""

    binary: Path
    home: Path
    hub: PluginHub | None = None
    name: Literal["embedded", "cli"] = "cli"

    def __reduce__(self) -> Any:
        return CliEngine, (self.binary, self.home)

    def start(self) -> None:
        """Serve the provider until `close`."""
        self.hub = PluginHub(self.home)
        self.hub.install(PACKAGE, VERSION, file_cloud)

    def close(self) -> None:
        if self.hub:
            self.hub.close()

    def command(self) -> automation.PulumiCommand:
        return automation.PulumiCommand(root=str(self.binary.parents[1]))

    def variables(self) -> Mapping[str, str]:
        return {
            "PULUMI_HOME": str(self.home),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }

    def bury(self, stack: automation.Stack) -> None:
        if self.hub:
            self.hub.end_plugins()
        stack.cancel()
