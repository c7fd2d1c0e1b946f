"""The mutating calls: intent on disk, call, result on disk, event; who may start, how many at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from graphlib import TopologicalSorter

from infra.rehearsal.engine import steps
from infra.rehearsal.engine.errors import EngineError, Stopped
from infra.rehearsal.engine.events import Events
from infra.rehearsal.engine.provider import CreateResponse, PartialFailure, ProviderError
from infra.rehearsal.engine.provider_pool import ProviderPool
from infra.rehearsal.engine.redaction import restore_secrets
from infra.rehearsal.engine.resource import Resource, now
from infra.rehearsal.engine.state.journal import Journal
from infra.rehearsal.engine.steps import Op, ResourcePlan, Step


class Effects:
    """Does what was decided. A preview asks providers what would be; nothing is deleted or recorded."""

    def __init__(self, journal: Journal, pool: ProviderPool, events: Events, *, parallel: int) -> None:
        self.journal = journal
        self.pool = pool
        self.events = events
        self.preview = events.planning
        self.parallel = parallel
        self.failed = False
        self.slots = threading.BoundedSemaphore(parallel)

    def guard(self) -> None:
        """Raise `Stopped` once something has failed."""
        if self.failed:
            raise Stopped

    def fail(self, message: str, urn: str = "") -> None:
        """Say what failed and let nothing new start. What is under way ends and is recorded."""
        self.failed = True
        self.events.diagnostic("error", message, urn)

    def put(self, old: Resource | None, new: Resource, plan: ResourcePlan) -> Resource:
        """Create or update, also in a replacement: `old` is then superseded, or the placeholder of what was deleted.

        Raises `EngineError` with what the cloud said.
        """
        op = plan.steps[-1] if plan.delete_first else plan.steps[0]
        with self.slots:
            self.guard()
            if plan.delete_first:
                told = (
                    plan if plan.changed else ResourcePlan(plan.op)
                )  # a cascade has no differences of its own
                self._announce(Step(Op.REPLACE, old, new, told))
            self.events.before(Step(op, old, new, plan))
            token = self.journal.begin("updating" if op is Op.UPDATE else "creating", new)
            errors: tuple[str, ...] = ()
            try:
                made = self._apply(op, old, new)
            except PartialFailure as error:
                made = CreateResponse(error.id, error.outputs)
                errors = (self.events.redactor.clean(str(error)),)
                refusal = self._explain(op, new, error)
            except Exception as error:
                # Any other error leaves the outcome unknown: the intent stays, and the next run looks.
                if isinstance(error, ProviderError | EngineError):
                    self.journal.settle(token)
                self.events.tell_failure(Step(op, old, new, plan))
                raise EngineError(self._explain(op, new, error)) from error
            resource = land(new, made, old, errors)
            if errors and op is Op.UPDATE and old is not None:
                # What is not known to be in force is what the next update is to do (deploy/step.go).
                resource = replace(resource, inputs=old.inputs)
            self.journal.settle(token, resource, old)
            if errors:
                self.events.tell_failure(Step(op, old, resource, plan))
                raise EngineError(refusal)
            if made.found:
                self.events.diagnostic("info", f"found {made.found}", new.urn)
            self.events.after(Step(op, old, resource, plan))
            if op is Op.CREATE_REPLACEMENT and not plan.delete_first:
                self._announce(Step(Op.REPLACE, old, resource, plan))
        return resource

    def _apply(self, op: Op, old: Resource | None, new: Resource) -> CreateResponse:
        if op is Op.UPDATE and old is not None:
            return self.pool.update(old, new, preview=self.preview)
        return self.pool.create(new, preview=self.preview)

    def _explain(self, op: Op, resource: Resource, error: Exception) -> str:
        verbs = {Op.UPDATE: "updating", Op.DELETE: "deleting", Op.DELETE_REPLACED: "deleting"}
        words = f"{verbs.get(op, 'creating')} {resource.type} '{resource.name}': {describe(error)}"
        return self.events.redactor.clean(words)

    def _announce(self, step: Step) -> None:
        self.events.before(step)
        self.events.after(step)

    def delete_first(self, resource: Resource) -> Resource:
        """Delete before a replacement; the state keeps a placeholder until it is made again."""
        placeholder = replace(resource, pending_replacement=True)
        self._remove(Op.DELETE_REPLACED, resource, lambda: self.journal.swap(placeholder, resource))
        return placeholder

    def _delete(self, resource: Resource) -> None:
        def forget() -> None:
            self.journal.drop(resource)

        if resource.pending_replacement:
            forget()
            self._announce(Step(Op.REMOVE_PENDING_REPLACE, resource, None))
        else:
            self._remove(Op.DELETE_REPLACED if resource.delete else Op.DELETE, resource, forget)

    def _remove(self, op: Op, resource: Resource, forget: Callable[[], None]) -> None:
        with self.slots:
            self.guard()
            self.events.before(Step(op, resource, None))
            if self.preview or resource.retain_on_delete or not resource.custom or resource.is_provider:
                forget()
            else:
                token = self.journal.begin("deleting", resource)
                try:
                    self.pool.delete(resource)
                except Exception as error:
                    if isinstance(error, ProviderError | EngineError):
                        self.journal.settle(token)
                    self.events.tell_failure(Step(op, resource, None))
                    raise EngineError(self._explain(op, resource, error)) from error
                forget()
                self.journal.settle(token)
            self.events.after(Step(op, resource, None))

    def delete_all(self, doomed: tuple[Resource, ...]) -> None:
        """Delete, dependents before what they need, in parallel. Raises `Stopped` when one fails."""
        try:
            steps.guard_protected(doomed)
        except EngineError as refusal:
            self.fail(str(refusal))
            raise Stopped from refusal
        order = TopologicalSorter(steps.blockers(doomed))
        order.prepare()
        running: dict[Future[None], int] = {}
        with ThreadPoolExecutor(self.parallel) as pool:
            try:
                while order.is_active():
                    if not self.failed:
                        running |= {
                            pool.submit(self._delete, doomed[index]): index for index in order.get_ready()
                        }
                    if not running:
                        break
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        index, error = running.pop(future), future.exception()
                        order.done(index)
                        if error is not None and not isinstance(error, Stopped):
                            self.fail(str(error), doomed[index].urn)
            except BaseException:  # Ctrl-C: what waits for a thread does not start any more
                self.failed = True
                raise
        self.guard()


def describe(error: Exception) -> str:
    """An error in one line: a refusal in its own words, anything else with its kind."""
    return (
        str(error) if isinstance(error, ProviderError | EngineError) else f"{type(error).__name__}: {error}"
    )


def land(
    new: Resource, made: CreateResponse, old: Resource | None = None, errors: tuple[str, ...] = ()
) -> Resource:
    """The resource with what the provider answered; it keeps its age if it is the same thing as before."""
    restored = restore_secrets(made.outputs, new.inputs, new.additional_secret_outputs)
    same = old is not None and made.id == old.id and not old.pending_replacement
    created = old.created if same and old is not None else now()
    return replace(new, id=made.id, outputs=restored, created=created, modified=now(), init_errors=errors)
