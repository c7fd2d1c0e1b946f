"""The driver on the real CLI, a provider that adopts nothing, and a local cloud: run, cut off, and looked at after."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import programs

from infra.rehearsal.cloud.client import LocalCloud
from modelpack.home import Home
from stacks.pulumi_driver.driver import Stack
from tests.reality.driven import DrivenProject, Ended, Operation
from tests.reality.inventory import Holding, inventory
from tests.reality.plugins import PluginHub
from tests.reality.strict_aws import Fuse, StrictAwsProviders

AWS_VERSION = "7.51.1"


@dataclass
class Rig:
    """`binary` is the CLI. `calls` of the last run: those that changed something in the cloud, in order."""

    folder: pathlib.Path
    binary: pathlib.Path
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        home = self.folder / "home"
        self.cloud = LocalCloud(Home(home, home / "cache"), host=programs.SPEAKING)
        self.cloud.ensure()
        self.place = programs.Place(self.cloud, self.folder)
        self.providers = StrictAwsProviders()
        self.hub = PluginHub(self.folder / "pulumi")
        self.hub.install("aws", AWS_VERSION, self.providers)
        self.project = DrivenProject(self.folder / "project", self.shell(home))
        self.empty: frozenset[Holding] = frozenset()
        self.empty = self.holdings()

    def shell(self, home: pathlib.Path) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "PULUMI_", "ECOMDEPLOY_"))
        }
        return {
            **kept,
            "PATH": f"{self.binary.parent}:{kept['PATH']}",
            "PYTHONPATH": str(programs.ROOT),
            "PULUMI_HOME": str(self.hub.home),
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "ECOMDEPLOY_HOME": str(home),
            "ECOMDEPLOY_DRIVER": "pulumi",
        }

    @property
    def state(self) -> pathlib.Path:
        """Where the driver keeps what Pulumi knows."""
        return self.project.folder / ".ecomdeploy" / "local" / "pulumi"

    def close(self) -> None:
        self.cloud.stop()
        self.hub.close()

    def run(self, operation: Operation, *, at: int = 0, by: signal.Signals = signal.SIGKILL) -> Ended:
        """One operation; `at` its n-th mutating call the process group gets the signal `by`."""
        deadly = by == signal.SIGKILL
        fuse = Fuse(at, deadly, blow=lambda: self.project.send(by))
        self.providers.sessions.fuse = fuse
        ended = self.project.run(operation)
        if fuse.blown and deadly:
            self.hub.end_plugins()
        self.calls = fuse.calls
        return ended

    def well(self, operation: Operation) -> None:
        """An operation that must end well."""
        ended = self.run(operation)
        assert ended.code == 0, f"{operation.verb} {operation.stack}: exit {ended.code}\n{ended.said}"

    def start_over(self) -> None:
        """An empty cloud and no state, whatever went wrong before."""
        self.cloud.reset()
        shutil.rmtree(self.state, ignore_errors=True)
        self.empty = frozenset()
        self.empty = self.holdings()

    def holdings(self) -> frozenset[Holding]:
        """What there is beside what was there at first."""
        return inventory(self.place.client) - self.empty

    def checkpoint(self, stack: Stack) -> dict[str, Any]:
        """The stack's state as the CLI wrote it; empty when there is none."""
        file = self.state / ".pulumi" / "stacks" / f"ecomdeploy-{stack.program}" / f"{stack.name}.json"
        found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        return found

    def locks(self) -> list[pathlib.Path]:
        return [path for path in (self.state / ".pulumi" / "locks").rglob("*") if path.is_file()]

    def orphans(self, stack: Stack) -> list[Holding]:
        """What carries the stack's tag and is in no state."""
        resources = self.checkpoint(stack).get("checkpoint", {}).get("latest", {}).get("resources", [])
        known = {resource.get("id") for resource in resources}
        tag = f"ecomdeploy-{stack.program}/{stack.name}"
        return sorted(one for one in self.holdings() if one.stack == tag and one.id not in known)


def kinds(holdings: frozenset[Holding]) -> Mapping[str, int]:
    """How many there are of each kind."""
    return Counter(one.kind for one in holdings)
