"""preview, up, refresh, destroy: the frame around one operation.

    lock -> load -> resume what a kill left -> (refresh) -> program -> deletions -> close the state -> history

A preview takes no lock, records nothing and calls nothing that changes anything.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from infra.rehearsal.engine import lock, program
from infra.rehearsal.engine.crypt import Vault
from infra.rehearsal.engine.display import TITLES, Display
from infra.rehearsal.engine.effects import Effects, Stopped
from infra.rehearsal.engine.events import Events, Sink
from infra.rehearsal.engine.execute import Deployment, Scene
from infra.rehearsal.engine.hosts import Hosts
from infra.rehearsal.engine.journal import Journal
from infra.rehearsal.engine.marks import Redactor
from infra.rehearsal.engine.project import Project, StackConfig
from infra.rehearsal.engine.provider import ProviderFactory
from infra.rehearsal.engine.refresh import Refresh
from infra.rehearsal.engine.resource import Snapshot, now
from infra.rehearsal.engine.resume import Resume
from infra.rehearsal.engine.state import StackFiles, Writer
from infra.rehearsal.engine.values import Secret

KINDS = {"up": "update", "refresh": "refresh", "destroy": "destroy"}
"""Names in the history."""


@dataclass(frozen=True)
class Order:
    """One operation, as asked for."""

    verb: str
    preview: bool
    files: StackFiles
    project: Project
    config: StackConfig
    vault: Vault
    config_vault: Vault
    providers: ProviderFactory
    environment: Mapping[str, str]
    parallel: int
    client: str = ""
    message: str = ""
    refresh_first: bool = False
    clear_pending_creates: bool = False
    expect_no_changes: bool = False
    as_json: bool = False


class OperationFailed(Exception):
    """The operation ended badly; its diagnostics have said why."""

    def __init__(self, *, preview: bool) -> None:
        super().__init__("preview failed" if preview else "operation failed")
        self.preview = preview


class Operation:
    """One run of an order. `print_line` gets the text output."""

    def __init__(self, order: Order, sinks: list[Sink], print_line: Callable[[str], None]) -> None:
        self._order = order
        self._plain = order.config.plain(order.config_vault)
        redactor = Redactor()
        redactor.learn([Secret(self._plain[key]) for key in order.config.secret_keys()])
        title = f"{TITLES[order.verb, order.preview]} ({order.files.stack})"
        self._display = Display(title, print_line, as_json=order.as_json)
        self._events = Events(sinks, self._display, redactor, planning=order.preview)

    def run(self) -> None:
        """Raises `OperationFailed`, `StateError` when the stack is locked or absent."""
        started = now()
        with contextlib.nullcontext() if self._order.preview else lock.held(self._order.files):
            snapshot = self._order.files.load(self._order.vault)
            journal = Journal(snapshot, None if self._order.preview else self._writer())
            failed = self._guarded(journal)
            if not self._order.preview:
                self._record(started, failed)
        self._display.close(self._events.counts)
        if failed:
            raise OperationFailed(preview=self._order.preview)

    def _writer(self) -> Callable[[Snapshot, bool], None]:
        """Writes the state; the first write of an operation keeps the state before it as .bak."""
        writer = Writer(self._order.files, self._order.vault)
        backed_up = False

        def write(snapshot: Snapshot, durable: bool) -> None:
            nonlocal backed_up
            if not backed_up:
                self._order.files.keep_backup()
                backed_up = True
            writer.write(snapshot, durable=durable)

        return write

    def _guarded(self, journal: Journal) -> bool:
        """The operation itself. Whatever happens, what was under way ends and is recorded."""
        order = self._order
        hosts = Hosts(order.providers, order.environment, journal.snapshot().resources)
        effects = Effects(journal, hosts, self._events, preview=order.preview, parallel=order.parallel)
        self._events.prelude(self._blinded())
        try:
            self._steps(journal, hosts, effects)
        except Stopped:
            effects.failed = True
        except BaseException as error:
            effects.fail("", "interrupted" if isinstance(error, KeyboardInterrupt) else str(error))
            raise
        finally:
            effects.drain()
            journal.close()
            if order.verb == "up" and not effects.failed:
                self._display.outputs(_stack_outputs(journal))
            self._events.summary(corrupt=False)
            self._events.end()
        return effects.failed

    def _steps(self, journal: Journal, hosts: Hosts, effects: Effects) -> None:
        order = self._order
        if journal.pending() and not order.preview:
            resume = Resume(journal, hosts, self._events, order.parallel)
            if order.clear_pending_creates:
                resume.forget_creates()
            resume.run()
        elif journal.pending():
            self._events.diagnostic(
                "warning", "the last run was interrupted; the next one picks up where it stopped"
            )
        if order.verb == "refresh" or order.refresh_first:
            Refresh(journal, hosts, self._events, effects, counted=order.verb == "refresh").run()
        if order.verb == "up":
            self._program(journal, hosts, effects)
        elif order.verb == "destroy":
            effects.delete_all(journal.snapshot().resources)
            self._nothing_unclear(journal, effects)
        if order.expect_no_changes and self._events.changes:
            effects.fail("", "no changes were expected but changes were proposed")

    def _program(self, journal: Journal, hosts: Hosts, effects: Effects) -> None:
        from infra.rehearsal.engine import monitor

        order = self._order
        task = program.Program(
            project=order.project.name,
            stack=order.files.stack,
            root=order.project.root,
            folder=order.project.folder,
            entry=order.project.entry,
            interpreter=program.interpreter_for(order.project.root, order.project.options),
            config=self._plain,
            secret_keys=order.config.secret_keys(),
            client=order.client,
            preview=order.preview,
            parallel=order.parallel,
            environment=order.environment,
        )
        scene = Scene(order.project.name, order.files.stack, self._plain)
        deployment = Deployment(scene, journal, hosts, self._events, effects)
        with monitor.serving(deployment, self._events, task.asset_folder) as address:
            try:
                program.run(task, address, self._events)
            except program.ProgramFailed as error:
                if str(error):
                    effects.fail("", str(error))
                raise Stopped from error
            except BaseException:
                effects.failed = True
                raise
            finally:
                effects.drain()
        effects.guard()
        deployment.finish()

    def _nothing_unclear(self, journal: Journal, effects: Effects) -> None:
        for operation in journal.pending().values():
            effects.fail(
                operation.resource.urn, "it is still unclear whether this was created; run destroy again"
            )

    def _blinded(self) -> dict[str, str]:
        secret = set(self._order.config.secret_keys())
        return {key: "[secret]" if key in secret else value for key, value in self._plain.items()}

    def _record(self, started: str, failed: bool) -> None:
        config = {
            key: {"value": one.value, "secret": one.secret}
            for key, one in self._order.config.settings.items()
        }
        files = self._order.files
        version = 1 + sum(1 for _ in files.history.glob("*.history.json"))
        files.record(
            {
                "kind": KINDS[self._order.verb],
                "startTime": started,
                "message": self._order.message,
                "environment": {},
                "config": config,
                "result": "failed" if failed else "succeeded",
                "endTime": now(),
                "version": version,
                "resourceChanges": dict(self._events.counts),
            }
        )


def _stack_outputs(journal: Journal) -> Mapping[str, object]:
    stack = journal.snapshot().stack
    return stack.outputs if stack else {}
