"""The product's driver in a process group of its own, so that it can be killed or interrupted as from a terminal.

The processes are forked from one that has imported what programs and driver need.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from warm_commands import warm_context

from modelpack.progress import Silent
from stacks.pulumi_driver.driver import Change, Driver, Stack

SPEC = """version: 1
service: shop
usecase: recommendation
environments:
  local: {cloud: local}
"""


@dataclass(frozen=True)
class Operation:
    """One call of the driver."""

    verb: Literal["up", "preview", "destroy"]
    stack: Stack
    settings: Mapping[str, Any] = field(default_factory=dict)
    refresh: bool = False


@dataclass(frozen=True)
class Ended:
    """`code` as from waitpid: negative for a signal; `said`: all it wrote."""

    code: int
    said: str


@dataclass
class DrivenProject:
    """A project folder in a home; `variables` are those of the shell (PATH, PULUMI_HOME, ECOMDEPLOY_...)."""

    folder: Path
    variables: Mapping[str, str]
    process: Any = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "ecomdeploy.yaml").write_text(SPEC)
        self.context = warm_context()

    def run(self, operation: Operation) -> Ended:
        """Do it, and wait for its end, whatever that is."""
        said = self.folder / "said"
        self.process = self.context.Process(
            target=operate, args=(self.folder, dict(self.variables), operation, said)
        )
        self.process.start()
        self.process.join()
        return Ended(self.process.exitcode, said.read_text(errors="replace"))

    def send(self, number: signal.Signals) -> None:
        """A signal to all of the running operation's process group: the driver and the CLI."""
        os.killpg(self.process.pid, number)


def operate(folder: Path, variables: Mapping[str, str], operation: Operation, said: Path) -> None:
    """The process: as `ecomdeploy` would do it, without the rest of the pipeline."""
    os.setsid()
    with said.open("wb") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.environ.clear()
    os.environ.update(variables)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from cli.wiring import load_spec, wire_account
    from modelpack.errors import EcomdeployError

    driver = wire_account(folder, load_spec(folder, "local"), Silent()).driver()
    code = 0
    try:
        print([(change.op, change.name) for change in act(driver, operation)])
    except KeyboardInterrupt:
        code = 130
    except EcomdeployError as error:
        print(f"Error: {error}\nHint: {error.hint}")
        code = error.exit_code
    sys.stdout.flush()
    sys.exit(code)


def act(driver: Driver, operation: Operation) -> tuple[Change, ...]:
    """What it changed, or would."""
    if operation.verb == "up":
        return driver.up(operation.stack, operation.settings, Silent(), refresh=operation.refresh).changes
    if operation.verb == "preview":
        return driver.preview(operation.stack, operation.settings)
    return driver.destroy(operation.stack, Silent())
