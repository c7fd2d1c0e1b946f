"""The `pulumi` binary, answered in this process: the unmodified Automation API drives the embedded engine.

>>> command = EmbeddedPulumiCommand(providers)
>>> env_vars = {"PULUMI_BACKEND_URL": "file:///FOLDER", "PULUMI_CONFIG_PASSPHRASE": "..."}
>>> options = LocalWorkspaceOptions(pulumi_command=command, env_vars=env_vars)
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from pulumi.automation import CommandResult, PulumiCommand
from pulumi.automation._cmd import OnOutput
from pulumi.automation.errors import create_command_error
from semver import VersionInfo

from infra.rehearsal.engine import arguments, config_commands, stack_commands
from infra.rehearsal.engine.crypt import Keyring, WrongPassphrase
from infra.rehearsal.engine.events import open_sink
from infra.rehearsal.engine.operations import Operation, OperationFailed, Order
from infra.rehearsal.engine.provider import ProviderFactory
from infra.rehearsal.engine.resource import ENGINE_VERSION
from infra.rehearsal.engine.state import StateError
from infra.rehearsal.engine.values import BadValue
from infra.rehearsal.engine.workplace import Workplace

FAILED: Final = 255
OPERATIONS: Final = {"up": "up", "update": "up", "preview": "up", "refresh": "refresh", "destroy": "destroy"}
NAMES: Final = {"up": "update", "refresh": "refresh", "destroy": "destroy"}


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
            parsed = arguments.parse(args)
            place = Workplace(Path(cwd), {**self.environment, **additional_env}, parsed, self._keyring)
            self._dispatch(place, out)
        except OperationFailed as error:
            cause = error
            err(f"error: {'preview' if error.preview else NAMES[OPERATIONS[parsed.words[0]]]} failed")
        except (StateError, arguments.BadArguments, WrongPassphrase, BadValue) as error:
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
        word = place.arguments.words[0] if place.arguments.words else ""
        if word in OPERATIONS:
            self._operate(place, word, say)
            return
        commands: dict[str, Callable[[Workplace, Callable[[str], None]], None]] = {
            "stack": stack_commands.run,
            "config": config_commands.run,
            "whoami": stack_commands.whoami,
            "cancel": stack_commands.cancel,
            "version": lambda _, say: say(ENGINE_VERSION),
            "install": lambda _, say: say("The embedded engine has nothing to install"),
        }
        if word not in commands:
            raise arguments.BadArguments(
                f"'{word}' is not available in the embedded engine: use the Pulumi CLI"
            )
        commands[word](place, say)

    def _operate(self, place: Workplace, word: str, say: Printer) -> None:
        given = place.arguments
        if given.has("--help"):
            say("the embedded engine's preview, up, refresh and destroy take what the Automation API passes")
            return
        if given.value("--run-program") == "true":
            raise arguments.BadArguments(
                f"{word} --run-program=true is not available in the embedded engine: use the Pulumi CLI"
            )
        files = place.existing()
        config = place.config(files)
        parallel = min(given.number("--parallel", self.parallel), self.parallel)
        order = Order(
            verb=OPERATIONS[word],
            preview=word == "preview" or given.has("--preview-only"),
            files=files,
            project=place.project,
            config=config,
            vault=place.state_vault(files),
            config_vault=place.vault(config.salt or files.salt()),
            providers=self.providers,
            environment=place.environment,
            parallel=max(parallel, 1),
            client=given.value("--client") or "",
            message=given.value("--message") or "",
            refresh_first=given.has("--refresh"),
            clear_pending_creates=given.has("--clear-pending-creates"),
            expect_no_changes=given.has("--expect-no-changes"),
            as_json=given.has("--json"),
        )
        with contextlib.ExitStack() as stack:
            target = given.value("--event-log")
            sinks = [stack.enter_context(contextlib.closing(open_sink(target)))] if target else []
            Operation(order, sinks, say).run()


class Printer:
    """Keeps the lines of a stream and passes each on as it comes. Safe from any thread."""

    def __init__(self, listener: OnOutput | None) -> None:
        self.lines: list[str] = []
        self._listener = listener
        self._lock = threading.Lock()

    def __call__(self, text: str) -> None:
        with self._lock:
            for line in text.split("\n"):
                self.lines.append(line)
                if self._listener is not None:
                    self._listener(line)
