"""preview, up, refresh, destroy: the frame around one operation.

    lock -> load -> resume what a kill left -> (refresh) -> program -> deletions -> close the state -> history

A preview takes no lock, records nothing and calls nothing that changes anything.
"""

from __future__ import annotations

import contextlib

from pulumi.runtime.proto import language_pb2

from infra.rehearsal.engine import monitor, program
from infra.rehearsal.engine.commands.workplace import Workplace
from infra.rehearsal.engine.effects import Effects
from infra.rehearsal.engine.errors import EngineError, Stopped
from infra.rehearsal.engine.events import Events
from infra.rehearsal.engine.execute import Deployment
from infra.rehearsal.engine.provider import ProviderFactory
from infra.rehearsal.engine.provider_pool import ProviderPool
from infra.rehearsal.engine.refresh import Refresh
from infra.rehearsal.engine.resource import now, snapshot_from_json
from infra.rehearsal.engine.state import lock
from infra.rehearsal.engine.state.checkpoint import CheckpointWriter
from infra.rehearsal.engine.state.journal import Journal
from infra.rehearsal.engine.values import Secret

KINDS = {"up": "update", "preview": "preview", "refresh": "refresh", "destroy": "destroy"}
"""The operations, by command, and what the history and people call them."""


class Operation:
    """One run of a verb of `KINDS`. `providers` makes providers; `parallel` bounds their calls at a time."""

    def __init__(
        self, verb: str, place: Workplace, providers: ProviderFactory, parallel: int, events: Events
    ) -> None:
        self._verb = verb
        self._place = place
        self._providers = providers
        self._parallel = parallel
        self._events = events
        self._files = place.find_stack()
        self._config = place.config(self._files)
        self._plain = self._config.plain(place.vault(self._config.salt))
        self._events.redactor.learn([Secret(self._plain[key]) for key in self._config.secret_keys()])

    def run(self) -> None:
        """Raises `Stopped` once its diagnostics have said why, `EngineError` when the stack is locked."""
        started = now()
        with contextlib.nullcontext() if self._events.planning else lock.hold(self._files):
            vault = self._place.state_vault(self._files)
            snapshot = snapshot_from_json(self._files.latest(), vault)
            writer = CheckpointWriter(self._files, vault)
            failed = self._run_guarded(Journal(snapshot, None if self._events.planning else writer.write))
            if not self._events.planning:
                self._record(started, failed)
        if failed:
            raise Stopped

    def _run_guarded(self, journal: Journal) -> bool:
        """The operation itself. Whatever happens, what was under way ends and is recorded."""
        pool = ProviderPool(self._providers, self._place.environment, journal.snapshot().resources)
        effects = Effects(journal, pool, self._events, parallel=self._parallel)
        try:
            self._steps(effects)
        except Stopped:
            effects.failed = True
        except BaseException as error:
            effects.fail("interrupted" if isinstance(error, KeyboardInterrupt) else str(error))
            raise
        finally:
            journal.close()
            self._events.summary()
        return effects.failed

    def _steps(self, effects: Effects) -> None:
        verb, given, journal = self._verb, self._place.arguments, effects.journal
        refresh = Refresh(effects)
        if journal.pending() and effects.preview:
            worker = lock.find_worker(self._files)
            words = (
                f"another run is at work ({worker}); this is what it has done so far"
                if worker
                else "the last run was interrupted; the next one picks up where it stopped"
            )
            self._events.diagnostic("warning", words)
        elif journal.pending():
            if "--clear-pending-creates" in given.flags:
                refresh.forget_creates()
            refresh.resume()
        if verb == "refresh" or "--refresh" in given.flags:
            refresh.refresh(counted=verb == "refresh")
        if verb in ("up", "preview"):
            self._program(effects)
        elif verb == "destroy":
            effects.delete_all(journal.snapshot().resources)
            for operation in journal.pending().values():
                words = "it is still unclear whether this was created; run destroy again"
                effects.fail(words, operation.resource.urn)

    def _program(self, effects: Effects) -> None:
        project, client = self._place.project, self._place.arguments.flags.get("--client")
        secret = {key: Secret(self._plain[key]) for key in self._config.secret_keys()}
        deployment = Deployment(project.name, self._files.stack, {**self._plain, **secret}, effects)
        with monitor.serve(deployment, self._events) as address:
            request = language_pb2.RunRequest(
                project=project.name,
                stack=self._files.stack,
                organization="organization",
                pwd=str(project.folder),
                args=[address],
                monitor_address=address,
                config=self._plain,
                configSecretKeys=self._config.secret_keys(),
                dryRun=effects.preview,
                parallel=effects.parallel,
            )
            try:
                if client:
                    program.run_inline(request, client)
                else:
                    program.run_folder(request, project.folder, self._place.environment, self._events)
            except EngineError as error:
                effects.fail(str(error))
            except BaseException:
                effects.failed = True
                raise
        effects.guard()
        deployment.finish()

    def _record(self, started: str, failed: bool) -> None:
        self._files.record(
            {
                "kind": KINDS[self._verb],
                "startTime": started,
                "message": self._place.arguments.flags.get("--message") or "",
                "environment": {},
                "config": {key: vars(one) for key, one in self._config.settings.items()},
                "result": "failed" if failed else "succeeded",
                "endTime": now(),
                "resourceChanges": dict(self._events.counts),
            }
        )
