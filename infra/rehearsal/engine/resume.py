"""After a kill: find out how the calls that were under way ended, before anything else happens."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from infra.rehearsal.engine.effects import describe
from infra.rehearsal.engine.events import Events
from infra.rehearsal.engine.hosts import Hosts
from infra.rehearsal.engine.journal import Journal
from infra.rehearsal.engine.marks import remark
from infra.rehearsal.engine.provider import PartialFailure, Values
from infra.rehearsal.engine.resource import Operation, Resource, now
from infra.rehearsal.engine.steps import refreshed
from infra.rehearsal.engine.values import strip

INTERRUPTED = "an update was interrupted"


class Resume:
    """Resolves pending operations. One that cannot be resolved stays on record, with a warning."""

    def __init__(self, journal: Journal, hosts: Hosts, events: Events, parallel: int) -> None:
        self._journal = journal
        self._hosts = hosts
        self._events = events
        self._parallel = parallel

    def run(self) -> None:
        """Resolve all; they were under way at the same time, so none needs another."""
        pending = self._journal.pending()
        if pending:
            with ThreadPoolExecutor(self._parallel) as pool:
                list(pool.map(lambda item: self._resolve(*item), pending.items()))

    def forget_creates(self) -> None:
        """Drop pending creates unseen (`refresh --clear-pending-creates`)."""
        for token, operation in self._journal.pending().items():
            if operation.type == "creating":
                self._journal.settle(token)

    def _resolve(self, token: int, operation: Operation) -> None:
        resource = operation.resource
        self._events.redactor.learn(resource.inputs)
        self._events.diagnostic(
            "info", f"picking up an interrupted run: {operation.type} {resource.name}", resource.urn
        )
        try:
            if operation.type == "creating":
                self._created(token, resource)
            else:
                self._looked_at(token, operation)
        except Exception as error:
            self._events.diagnostic(
                "warning",
                f"still unclear whether {operation.type} it was done: {describe(error)}",
                resource.urn,
            )

    def _created(self, token: int, draft: Resource) -> None:
        """Ask again: the provider adopts what is there, or creates it now."""
        host = self._hosts.of(draft)
        errors: tuple[str, ...] = ()
        try:
            made = host.create(
                draft.type, draft.who, strip(draft.inputs), preview=False, timeout=draft.timeouts.create
            )
            identity, outputs = made.id, made.outputs
        except PartialFailure as error:
            identity, outputs, errors = error.id, error.outputs, (self._events.redactor.clean(str(error)),)
        marked = remark(outputs, draft.inputs, draft.additional_secret_outputs)
        new = replace(draft, id=identity, outputs=marked, init_errors=errors, created=now(), modified=now())
        old = self._journal.snapshot().by_urn.get(draft.urn)
        self._journal.adopt(token, new, None if old is None or old.pending_replacement else old)

    def _looked_at(self, token: int, operation: Operation) -> None:
        known = self._known(operation.resource)
        if known is None:
            self._journal.settle(token)
            return
        found = self._hosts.of(known).read(known.type, known.id, strip(known.inputs), strip(known.outputs))
        if found is None:
            self._journal.settle(token, drop=(known,))
            self._journal.prune()
            return
        if operation.type == "updating":
            inputs, outputs = marks_of(known, found.inputs, found.outputs)
            after = refreshed(known, inputs, outputs, found.id, now())
            self._journal.swap(replace(after, init_errors=(INTERRUPTED,)), known)
        self._journal.settle(token)

    def _known(self, resource: Resource) -> Resource | None:
        """The state's own entry for the resource of an operation."""
        for one in self._journal.snapshot().resources:
            if one.urn == resource.urn and one.id == resource.id and not one.pending_replacement:
                return one
        return None


def marks_of(known: Resource, inputs: Values, outputs: Values) -> tuple[Values, Values]:
    """What was read back, with the secret marks that the state has."""
    return remark(inputs, known.inputs), remark(outputs, known.inputs, known.additional_secret_outputs)
