"""The command line as typed, with the driver on the real CLI behind it and a provider that adopts nothing."""

from __future__ import annotations

import json
import os
import pathlib
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field

from own_shop import write_model, write_shop
from typed import Terminal
from typing_extensions import override
from warm_commands import start_warm

from tests.reality.inventory import Holding, inventory
from tests.reality.plugins import PluginHub
from tests.reality.rig import AWS_VERSION
from tests.reality.strict_aws import StrictAwsProviders

SPEC = """version: 1
service: boutique
usecase: ./shop.py:ShopRecs
model: {path: model.onnx}
"""
HOW_FAR = re.compile(r"[Mk]B of \d")


@dataclass(frozen=True)
class CliTerminal(Terminal):
    """`variables` are those of the shell beside its home: PATH, PULUMI_HOME, ECOMDEPLOY_DRIVER."""

    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    @override
    def environment(self) -> dict[str, str]:
        return {**super().environment, **self.variables}

    def cut_off(
        self, *arguments: str, at: int, by: signal.Signals, alone: bool = False
    ) -> tuple[int, list[str]]:
        """Type it; at its `at`-th line (0: never) its process group, or the process `alone`, gets the signal. How it
        ended, and its lines: not those that tell how far a push is, for their number is the machine's."""
        process, stream = start_warm(arguments, self.folder, self.environment, session=True)
        assert process.pid is not None
        said: list[str] = []
        with stream:
            for line in stream:
                if HOW_FAR.search(line):
                    continue
                said.append(line)
                if len(said) == at and process.is_alive():
                    (os.kill if alone else os.killpg)(process.pid, by)
        process.join()
        assert process.exitcode is not None
        return process.exitcode, said


@dataclass
class TypedShop:
    """A model of one's own in a project and a home of its own, packed; `binary` is the CLI."""

    root: pathlib.Path
    binary: pathlib.Path
    empty: frozenset[Holding] = frozenset()

    def __post_init__(self) -> None:
        folder = self.root / "boutique"
        folder.mkdir(parents=True)
        write_shop(folder)
        write_model(folder / "model.onnx")
        (folder / "ecomdeploy.yaml").write_text(SPEC)
        self.hub = PluginHub(self.root / "pulumi")
        self.hub.install("aws", AWS_VERSION, StrictAwsProviders())
        variables = {
            "PATH": f"{self.binary.parent}:{os.environ['PATH']}",
            "PULUMI_HOME": str(self.hub.home),
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "ECOMDEPLOY_DRIVER": "pulumi",
        }
        self.terminal = CliTerminal(folder, self.root / "home", variables=variables)
        self.terminal.type("pack", "--json")
        self.terminal.type("cloud", "start", "--json")
        self.empty = self.holdings()

    def close(self) -> None:
        self.terminal.end()
        self.hub.close()

    def holdings(self) -> frozenset[Holding]:
        """What there is beside what was there at first, by the cloud's own lists."""
        return inventory(self.terminal.client) - self.empty

    def lock_owners(self) -> list[int]:
        """Who holds a lock of the CLI's."""
        locks = (self.terminal.folder / ".ecomdeploy" / "local" / "pulumi" / ".pulumi" / "locks").rglob(
            "*.json"
        )
        return [json.loads(lock.read_text())["pid"] for lock in locks]

    def cut_off(self, *arguments: str, at: int, by: signal.Signals) -> tuple[int, list[str]]:
        """As the terminal does; plugins of a CLI that was killed end too."""
        ended = self.terminal.cut_off(*arguments, at=at, by=by)
        if ended[0] == -signal.SIGKILL:
            self.hub.end_plugins()
        return ended
