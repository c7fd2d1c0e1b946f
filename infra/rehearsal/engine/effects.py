"""The mutating calls: intent on disk, call, result on disk, event; who may start, how many at once."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace

from infra.rehearsal.engine import steps
from infra.rehearsal.engine.events import Events
from infra.rehearsal.engine.hosts import Hosts, NoProvider
from infra.rehearsal.engine.journal import Journal
from infra.rehearsal.engine.marks import remark
from infra.rehearsal.engine.provider import PartialFailure, Provider, Refused, Values
from infra.rehearsal.engine.resource import Resource, now
from infra.rehearsal.engine.steps import Op, Verdict
from infra.rehearsal.engine.values import strip


class StepFailed(Exception):
    """A step that did not work; the text is for the user."""


class Stopped(Exception):
    """The operation has failed, here or elsewhere; nothing new starts."""


class Effects:
    """Does what was decided. A preview asks providers what would be; nothing is deleted or recorded."""

    def __init__(
        self, journal: Journal, hosts: Hosts, events: Events, *, preview: bool, parallel: int
    ) -> None:
        self.preview = preview
        self.parallel = parallel
        self.failed = False
        self._journal = journal
        self._hosts = hosts
        self._events = events
        self._slots = threading.BoundedSemaphore(parallel)
        self._idle = threading.Condition()
        self._flights = 0

    @contextlib.contextmanager
    def flight(self) -> Iterator[None]:
        """Something under way that must end before the state is closed."""
        with self._idle:
            self.guard()
            self._flights += 1
        try:
            yield
        finally:
            with self._idle:
                self._flights -= 1
                self._idle.notify_all()

    def drain(self) -> None:
        """Wait until nothing is under way."""
        with self._idle:
            self._idle.wait_for(lambda: self._flights == 0)

    def guard(self) -> None:
        """Raise `Stopped` once something has failed."""
        if self.failed:
            raise Stopped

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """One of the `parallel` provider calls."""
        with self._slots:
            yield

    def fail(self, urn: str, message: str) -> None:
        """Say what failed and let nothing new start. What is under way ends and is recorded."""
        self.failed = True
        self._events.diagnostic("error", message, urn)

    def create(self, host: Provider, old: Resource | None, draft: Resource, verdict: Verdict) -> Resource:
        """Create, also in a replacement: `old` is then superseded, or the mark of what was deleted."""
        op = verdict.steps[-1] if verdict.delete_first else verdict.steps[0]
        with self.slot():
            self.guard()
            if verdict.delete_first:
                self._announce(Op.REPLACE, old, draft, verdict)
            self._events.before(op, old, draft, verdict)
            token = self._journal.begin("creating", draft)
            try:
                made = host.create(
                    draft.type,
                    draft.who,
                    strip(draft.inputs),
                    preview=self.preview,
                    timeout=draft.timeouts.create,
                )
            except Exception as error:
                self._broken(op, token, old, draft, error)
            resource = _landed(draft, made.id, made.outputs, old)
            self._arrive(token, resource, old)
            self._events.after(op, old, resource, verdict)
            if op is Op.CREATE_REPLACEMENT and not verdict.delete_first:
                self._announce(Op.REPLACE, old, resource, verdict)
        return resource

    def _arrive(self, token: int, resource: Resource, old: Resource | None) -> None:
        if old is not None and not old.pending_replacement:
            self._journal.supersede(token, resource, old)
        else:
            self._journal.settle(token, put=resource, replacing=old)

    def update(self, host: Provider, old: Resource, draft: Resource, verdict: Verdict) -> Resource:
        """Update in place."""
        draft = replace(draft, id=old.id, outputs=old.outputs, created=old.created)
        with self.slot():
            self.guard()
            self._events.before(Op.UPDATE, old, draft, verdict)
            token = self._journal.begin("updating", draft)
            try:
                outputs = host.update(
                    draft.type,
                    old.id,
                    strip(old.inputs),
                    strip(old.outputs),
                    strip(draft.inputs),
                    preview=self.preview,
                    timeout=draft.timeouts.update,
                )
            except Exception as error:
                self._broken(Op.UPDATE, token, old, draft, error)
            resource = _landed(draft, old.id, outputs, old)
            self._journal.settle(token, put=resource, replacing=old)
            self._events.after(Op.UPDATE, old, resource, verdict)
        return resource

    def _broken(self, op: Op, token: int, old: Resource | None, draft: Resource, error: Exception) -> None:
        """Record how a create or update ended badly, and raise `StepFailed`."""
        verb = "updating" if op is Op.UPDATE else "creating"
        message = self._events.redactor.clean(f"{verb} {draft.type} '{draft.name}': {describe(error)}")
        if isinstance(error, PartialFailure):
            resource = replace(_landed(draft, error.id, error.outputs, old), init_errors=(message,))
            if op is Op.UPDATE:
                self._journal.settle(token, put=resource, replacing=old)
            else:
                self._arrive(token, resource, old)
        elif isinstance(error, Refused):
            self._journal.settle(token)
        # Any other error leaves the outcome unknown: the intent stays on record, and the next run looks.
        self._events.failed(op, old, draft)
        raise StepFailed(message) from error

    def _announce(
        self, op: Op, old: Resource | None, new: Resource | None, verdict: Verdict | None = None
    ) -> None:
        self._events.before(op, old, new, verdict)
        self._events.after(op, old, new, verdict)

    def delete_first(self, resource: Resource) -> Resource:
        """Delete before a replacement; the state keeps a mark until it is made again."""
        mark = replace(resource, pending_replacement=True)
        self._events.before(Op.DELETE_REPLACED, resource, None)
        if self.preview or resource.retain_on_delete:
            self._journal.swap(mark, resource)
        else:
            token = self._call_delete(Op.DELETE_REPLACED, resource)
            self._journal.swap(mark, resource)
            self._journal.settle(token)
        self._events.after(Op.DELETE_REPLACED, resource, None)
        return mark

    def delete_all(self, doomed: tuple[Resource, ...]) -> None:
        """Delete, dependents before what they need, in parallel. Raises `Stopped` when one fails."""
        try:
            steps.guard_protected(doomed)
        except steps.Refusal as refusal:
            self.fail("", str(refusal))
            raise Stopped from refusal
        waits = steps.blockers(doomed)
        gone: set[int] = set()
        running: dict[Future[None], int] = {}
        with ThreadPoolExecutor(self.parallel) as pool, self._failing_on_interrupt():
            while waits or running:
                ready = [
                    index for index, dependents in waits.items() if dependents <= gone and not self.failed
                ]
                for index in ready:
                    del waits[index]
                    running[pool.submit(self._delete, doomed[index])] = index
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    index = running.pop(future)
                    error = future.exception()
                    if error is None:
                        gone.add(index)
                    elif not isinstance(error, Stopped):
                        self.fail(doomed[index].urn, str(error))
        if waits or self.failed:
            raise Stopped

    @contextlib.contextmanager
    def _failing_on_interrupt(self) -> Iterator[None]:
        """Ctrl-C: what waits for a thread does not start any more."""
        try:
            yield
        except BaseException:
            self.failed = True
            raise

    def _delete(self, resource: Resource) -> None:
        if resource.pending_replacement:
            self._journal.drop(resource)
            self._announce(Op.REMOVE_PENDING_REPLACE, resource, None)
            return
        op = Op.DELETE_REPLACED if resource.delete else Op.DELETE
        self.guard()
        self._events.before(op, resource, None)
        if self.preview or resource.retain_on_delete or not resource.custom or resource.is_provider:
            self._journal.drop(resource)
        else:
            with self.slot():
                token = self._call_delete(op, resource)
                self._journal.settle(token, drop=(resource,))
        self._events.after(op, resource, None)

    def _call_delete(self, op: Op, resource: Resource) -> int:
        """The call itself; returns the token of the intent, which the caller settles."""
        token: int | None = None
        try:
            host = self._hosts.of(resource)
            token = self._journal.begin("deleting", resource)
            host.delete(
                resource.type,
                resource.id,
                strip(resource.inputs),
                strip(resource.outputs),
                timeout=resource.timeouts.delete,
            )
        except Exception as error:
            if token is not None and isinstance(error, Refused):
                self._journal.settle(token)
            self._events.failed(op, resource, None)
            message = f"deleting {resource.type} '{resource.name}': {describe(error)}"
            raise StepFailed(self._events.redactor.clean(message)) from error
        return token


def describe(error: Exception) -> str:
    """An error in one line: a refusal in the cloud's words, anything else with its kind."""
    if isinstance(error, Refused | NoProvider | StepFailed | steps.Refusal):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _landed(draft: Resource, identity: str, outputs: Values, old: Resource | None) -> Resource:
    """The draft with what the provider answered."""
    marked = remark(outputs, draft.inputs, draft.additional_secret_outputs)
    updated = old is not None and identity == old.id and not old.pending_replacement
    created = old.created if updated and old is not None else now()
    return replace(draft, id=identity, outputs=marked, created=created, modified=now())
