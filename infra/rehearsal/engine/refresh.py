"""Finds out what is really there: how calls ended that a kill interrupted, and what has drifted since."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from infra.rehearsal.engine.effects import Effects, describe, land
from infra.rehearsal.engine.errors import EngineError, Stopped
from infra.rehearsal.engine.provider import CreateResponse, PartialFailure, ReadResponse
from infra.rehearsal.engine.redaction import restore_secrets
from infra.rehearsal.engine.resource import PendingOperation, Resource, now
from infra.rehearsal.engine.steps import Op, ResourcePlan, Step
from infra.rehearsal.engine.values import find_changes

INTERRUPTED = "an update was interrupted"


class Refresh:
    """Brings the state of one operation in line with the cloud, `effects.parallel` resources at a time."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects
        self._journal = effects.journal
        self._pool = effects.pool
        self._events = effects.events
        self._gone: set[str] = set()
        """URNs of what this refresh did not find."""

    def forget_creates(self) -> None:
        """Drop pending creates unseen (`refresh --clear-pending-creates`)."""
        for token, operation in self._journal.pending().items():
            if operation.type == "creating":
                self._journal.settle(token)

    def resume(self) -> None:
        """Resolve pending operations. They were under way at the same time, so none needs another.

        One that cannot be resolved stays on record, with a warning.
        """
        pending = self._journal.pending()
        with ThreadPoolExecutor(self._effects.parallel) as pool:
            list(pool.map(self._resolve, pending, pending.values()))

    def _resolve(self, token: int, operation: PendingOperation) -> None:
        kind, resource = operation.type, operation.resource
        self._events.redactor.learn(resource.inputs)
        words = f"picking up an interrupted run: {kind} {resource.name}"
        self._events.diagnostic("info", words, resource.urn)
        try:
            if kind == "creating":
                self._create_again(token, resource)
            else:
                self._look_again(token, kind, resource)
        except Exception as error:
            words = f"still unclear whether {kind} it was done: {describe(error)}"
            self._events.diagnostic("warning", words, resource.urn)

    def _create_again(self, token: int, new: Resource) -> None:
        """The provider adopts what is there, or creates it now."""
        errors: tuple[str, ...] = ()
        try:
            made = self._pool.create(new, preview=False)
        except PartialFailure as error:
            made, errors = CreateResponse(error.id, error.outputs), (self._events.redactor.clean(str(error)),)
        old = self._journal.snapshot().by_urn.get(new.urn)
        self._journal.settle(token, land(new, made, errors=errors), old, last=True)

    def _look_again(self, token: int, kind: str, resource: Resource) -> None:
        same = [
            one
            for one in self._journal.snapshot().resources
            if (one.urn, one.id) == (resource.urn, resource.id) and not one.pending_replacement
        ]
        for known in same:
            found = self._pool.read(known)
            if found is None:
                self._journal.drop(known)
                self._journal.prune()
            elif kind == "updating":
                self._journal.swap(replace(refresh(known, found), init_errors=(INTERRUPTED,)), known)
        self._journal.settle(token)

    def refresh(self, *, counted: bool) -> None:
        """Read every resource, a cluster before its objects. Drift in inputs is kept: the next preview shows it.

        With `counted` its results are the operation's own counts, else only events. Raises `Stopped` when a
        resource could not be read; what was read is kept.
        """
        resources = self._journal.snapshot().resources
        inner = {one.urn for one in resources if self._list_hosts(one)}
        for within in (False, True):
            wave = [one for one in resources if (one.urn in inner) is within]
            with ThreadPoolExecutor(self._effects.parallel) as pool:
                list(pool.map(lambda old: self._refresh(old, counted), wave))
        self._journal.prune()
        if self._effects.failed:
            raise Stopped

    def _refresh(self, old: Resource, counted: bool) -> None:
        self._events.redactor.learn(old.inputs)
        self._events.before(Step(Op.REFRESH, old, old))
        new: Resource | None = old
        try:
            if old.custom and not old.is_provider and not old.pending_replacement:
                found = self._pool.read(old)
                new = refresh(old, found) if found else None
        except Exception as error:
            if not self._list_hosts(old) & self._gone:
                self._events.tell_failure(Step(Op.REFRESH, old, old))
                self._effects.fail(f"reading {old.type} '{old.name}': {describe(error)}", old.urn)
                return
            new = None
            self._events.diagnostic("info", f"{old.name} is gone with what it was in", old.urn)
        outcome = Op.SAME
        if new is None:
            self._journal.drop(old)
            self._gone.add(old.urn)
            outcome = Op.DELETE
        elif new is not old:
            self._journal.swap(new, old)
            outcome = Op.UPDATE
        plan = ResourcePlan(outcome, find_changes(old.inputs, new.inputs) if new is not None else ())
        self._events.after(Step(outcome if counted else Op.REFRESH, old, new, plan))

    def _list_hosts(self, resource: Resource) -> frozenset[str]:
        """Of a resource whose provider cannot be had, reading it says why."""
        try:
            return self._pool.list_hosts(resource)
        except EngineError:
            return frozenset()


def refresh(old: Resource, found: ReadResponse) -> Resource:
    """`old` with what was read, secret where it was; the same object when nothing differs."""
    new = replace(
        old,
        id=found.id or old.id,
        inputs=restore_secrets(found.inputs, old.inputs),
        outputs=restore_secrets(found.outputs, old.inputs, old.additional_secret_outputs),
        init_errors=(found.trouble,) if found.trouble else (),
    )
    return replace(new, modified=now()) if new.differs(old) else old
