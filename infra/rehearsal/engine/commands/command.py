"""The `pulumi` binary, answered in this process: the unmodified Automation API drives the embedded engine.

>>> command = EmbeddedPulumiCommand(providers)
>>> env_vars = {"PULUMI_BACKEND_URL": "file:///FOLDER", "PULUMI_CONFIG_PASSPHRASE": "..."}
>>> options = LocalWorkspaceOptions(pulumi_command=command, env_vars=env_vars)
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pulumi.automation import CommandResult, PulumiCommand
from pulumi.automation._cmd import OnOutput
from pulumi.automation.errors import create_command_error
from semver import VersionInfo

from infra.rehearsal.engine.commands import arguments, stack_commands
from infra.rehearsal.engine.commands.operations import KINDS, Operation
from infra.rehearsal.engine.commands.workplace import Workplace
from infra.rehearsal.engine.errors import EngineError, Stopped, Unsupported
from infra.rehearsal.engine.events import Events, stream
from infra.rehearsal.engine.provider import ProviderFactory
from infra.rehearsal.engine.resource import ENGINE_VERSION
from infra.rehearsal.engine.state.crypt import Keyring

FAILED: Final = 255


class EmbeddedPulumiCommand(PulumiCommand):
    """Stands in for the `pulumi` binary.

    `providers(package, inputs, environment)` makes one provider per provider resource; the engine calls
    `configure(inputs)` on it. `environment` is what the process would have seen (default: `os.environ`);
    the workspace's `env_vars` go on top. `parallel` bounds concurrent provider calls. A shared `keyring`
    spares several commands of one process the key derivation.
    """

    def __init__(
        self,
        providers: ProviderFactory,
        *,
        environment: Mapping[str, str] | None = None,
        parallel: int = 16,
        keyring: Keyring | None = None,
    ) -> None:
        self.command = "pulumi (embedded engine)"
        self.version = VersionInfo.parse(ENGINE_VERSION.removeprefix("v"))
        self.providers = providers
        self.environment = dict(os.environ if environment is None else environment)
        self.parallel = parallel
        self._keyring = keyring or Keyring()

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: OnOutput | None = None,
        on_error: OnOutput | None = None,
    ) -> CommandResult:
        """Run one command line; raises `pulumi.automation.CommandError` or the class of it that fits."""
        out, err = Printer(on_output), Printer(on_error)
        cause: Exception | None = None
        try:
            given = arguments.parse(args)
            place = Workplace(Path(cwd), {**self.environment, **additional_env}, given, self._keyring)
            self._dispatch(place, out)
        except Stopped as error:
            cause = error
            err(f"error: {KINDS[given.words[0]]} failed")
        except (EngineError, OSError) as error:
            cause = error
            err(f"error: {error}")
        except Exception as error:
            cause = error
            err(f"error: the embedded engine broke down: {type(error).__name__}: {error}")
        result = CommandResult("\n".join(out.lines), "\n".join(err.lines), FAILED if cause else 0)
        if cause:
            raise create_command_error(result) from cause
        return result

    def _dispatch(self, place: Workplace, say: Printer) -> None:
        given = place.arguments
        verb = given.word(0)
        if verb == "version":
            say(ENGINE_VERSION)
        elif verb in KINDS:
            if "--json" in given.flags:
                raise Unsupported(f"{verb} --json")
            parallel = min(given.number("--parallel", self.parallel), self.parallel)
            planning = verb == "preview" or "--preview-only" in given.flags
            with stream(given.flags.get("--event-log")) as send:
                events = Events(send, say, planning=planning)
                Operation(verb, place, self.providers, max(parallel, 1), events).run()
        else:
            words = " ".join(given.words[: 2 if verb in ("stack", "config") else 1])
            if words not in stack_commands.COMMANDS:
                raise Unsupported(f"'{words}'")
            stack_commands.COMMANDS[words](place, say)


class Printer:
    """Keeps the lines of a stream and passes each on as it comes. Safe from any thread."""

    def __init__(self, listener: OnOutput | None) -> None:
        self.lines: list[str] = []
        self._listener = listener or (lambda line: None)
        self._lock = threading.Lock()

    def __call__(self, text: str) -> None:
        with self._lock:
            for line in text.split("\n"):
                self.lines.append(line)
                self._listener(line)
