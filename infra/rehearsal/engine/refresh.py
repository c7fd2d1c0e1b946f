"""Bring the state in line with what is really there. Drift in inputs is kept: the next preview shows it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from infra.rehearsal.engine.effects import Effects, Stopped, describe
from infra.rehearsal.engine.events import Events
from infra.rehearsal.engine.hosts import Hosts
from infra.rehearsal.engine.journal import Journal
from infra.rehearsal.engine.resource import Resource, now
from infra.rehearsal.engine.resume import marks_of
from infra.rehearsal.engine.steps import Op, refreshed
from infra.rehearsal.engine.values import strip


class Refresh:
    """Reads every resource. With `counted` its results are the operation's own counts, else only events."""

    def __init__(
        self, journal: Journal, hosts: Hosts, events: Events, effects: Effects, *, counted: bool
    ) -> None:
        self._journal = journal
        self._hosts = hosts
        self._events = events
        self._effects = effects
        self._counted = counted

    def run(self) -> None:
        """Raises `Stopped` when a resource could not be read; what was read is kept."""
        resources = self._journal.snapshot().resources
        with ThreadPoolExecutor(self._effects.parallel) as pool:
            list(pool.map(self._one, resources))
        self._journal.prune()
        if self._effects.failed:
            raise Stopped

    def _one(self, old: Resource) -> None:
        self._events.redactor.learn(old.inputs)
        self._events.before(Op.REFRESH, old, old)
        try:
            new = self._read(old)
        except Exception as error:
            self._events.failed(Op.REFRESH, old, old)
            self._effects.fail(old.urn, f"reading {old.type} '{old.name}': {describe(error)}")
            return
        if new is None:
            self._journal.drop(old)
            outcome = Op.DELETE
        elif new is old:
            outcome = Op.SAME
        else:
            self._journal.swap(new, old)
            outcome = Op.UPDATE
        self._events.after(Op.REFRESH, old, new or old, counted=outcome if self._counted else None)

    def _read(self, old: Resource) -> Resource | None:
        if not old.custom or old.is_provider or old.pending_replacement:
            return old
        found = self._hosts.of(old).read(old.type, old.id, strip(old.inputs), strip(old.outputs))
        if found is None:
            return None
        inputs, outputs = marks_of(old, found.inputs, found.outputs)
        return refreshed(old, inputs, outputs, found.id, now())
