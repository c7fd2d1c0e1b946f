"""Carries out what the program declares: check, diff, decide (steps.py), then the calls, in parallel.

A resource is registered only once the program has what it needs, so order among creates and updates comes
from the program. Checking, deciding and delete-before-replace happen one resource at a time; creates and
updates in parallel.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace

from infra.rehearsal.engine import steps
from infra.rehearsal.engine.effects import Effects, StepFailed, Stopped, describe
from infra.rehearsal.engine.events import Events
from infra.rehearsal.engine.hosts import Hosts, NoProvider
from infra.rehearsal.engine.journal import Journal
from infra.rehearsal.engine.marks import remark
from infra.rehearsal.engine.provider import UNKNOWN, Diffed, Provider, Values
from infra.rehearsal.engine.resource import PROVIDER_PREFIX, STACK_TYPE, Resource, now, package_of, urn_of
from infra.rehearsal.engine.steps import Goal, Op, Verdict
from infra.rehearsal.engine.values import UNKNOWN_TEXT, has_unknown, strip


@dataclass(frozen=True)
class Scene:
    """Where an operation plays."""

    project: str
    stack: str
    config: Mapping[str, str]
    """Plain values by full key ("aws:region"); of secrets too, so handle with care."""


class Deployment:
    """One run of a program against the state, or its preview. `register` is called from many threads."""

    def __init__(
        self, scene: Scene, journal: Journal, hosts: Hosts, events: Events, effects: Effects
    ) -> None:
        self.scene = scene
        self._journal = journal
        self._hosts = hosts
        self._events = events
        self._effects = effects
        self._old = journal.snapshot().by_urn
        self._current: dict[str, Resource] = {}
        self._claimed: set[str] = set()
        self._stack_outputs: Values | None = None
        self._generating = threading.RLock()

    @property
    def preview(self) -> bool:
        return self._effects.preview

    def refuse(self, message: str) -> None:
        """The program asked for what cannot be."""
        self._effects.fail("", message)

    def register(self, goal: Goal) -> Resource:
        """Bring one declared resource about; raises `Stopped` when the operation has failed."""
        with self._effects.flight():
            try:
                steps.guard_renamed(goal, self._old)
                return (
                    self._plain(goal)
                    if not goal.custom or goal.type.startswith(PROVIDER_PREFIX)
                    else self._custom(goal)
                )
            except Stopped:
                raise
            except Exception as error:
                self._effects.fail(goal.urn, self._events.redactor.clean(describe(error)))
                raise Stopped from error

    def register_outputs(self, urn: str, outputs: Values) -> None:
        """The outputs that a component or the stack declares at its end."""
        self._events.redactor.learn(outputs)
        with self._generating:
            resource = self._current.get(urn)
            if resource is None:
                raise Stopped
            if resource.type == STACK_TYPE:
                self._stack_outputs = outputs
            else:
                self._put_outputs(resource, outputs)

    def _put_outputs(self, resource: Resource, outputs: Values) -> None:
        new = replace(resource, outputs=outputs)
        if new != resource:
            self._journal.swap(new, resource)
            self._current[resource.urn] = new

    def invoke(self, token: str, args: Values, provider: str, version: str) -> Values:
        """Answer a data source; raises `Refused` or `NoProvider`."""
        urn = provider.rpartition("::")[0] or self._default_provider(package_of(token), version).urn
        host = self._hosts.get(urn)
        with self._effects.slot():
            return host.invoke(token, strip(args))

    def finish(self) -> None:
        """Delete what the program does not declare any more and what replacements have left behind.

        Only now do the stack's outputs count: a program that broke off keeps those of the last good run.
        """
        stack = next((one for one in self._current.values() if one.type == STACK_TYPE), None)
        if stack is not None and self._stack_outputs is not None:
            self._put_outputs(stack, self._stack_outputs)
        self._effects.delete_all(steps.doomed(self._journal.snapshot().resources, self._claimed))

    def _claim(self, urn: str) -> Resource | None:
        if urn in self._claimed:
            raise steps.Refusal(f"Duplicate resource URN '{urn}'; try giving it a unique name")
        self._claimed.add(urn)
        return self._old.get(urn)

    def _plain(self, goal: Goal) -> Resource:
        """A component, the stack, or a provider: nothing to call."""
        is_provider = goal.type.startswith(PROVIDER_PREFIX)
        self._events.redactor.learn(goal.inputs)
        with self._generating:
            old = self._claim(goal.urn)
            verdict = steps.decide_plain(goal, old)
            draft = goal.draft(goal.inputs)
            identity = (
                ""
                if not is_provider or (self.preview and old is None)
                else (old.id if old else str(uuid.uuid4()))
            )
            outputs = goal.inputs if is_provider else (old.outputs if old else {})
            stamp = old.created if old else now()
            changed = old.modified if old and verdict.op is Op.SAME else now()
            draft = replace(draft, id=identity, outputs=outputs, created=stamp, modified=changed)
            self._events.before(verdict.op, old, draft, verdict)
            if is_provider:
                self._hosts.declare(draft)
                if not has_unknown(goal.inputs):
                    self._hosts.get(goal.urn)
            resource = self._journal.put(draft, old)
            self._current[goal.urn] = resource
        self._events.after(verdict.op, old, resource, verdict)
        return resource

    def _default_provider(self, package: str, version: str) -> Resource:
        """What the engine makes where the program names no provider; configured from the stack's config."""
        name = "default" + (f"_{version}" if version else "").replace(".", "_")
        urn = urn_of(self.scene.stack, self.scene.project, "", PROVIDER_PREFIX + package, name)
        with self._generating:
            if urn not in self._current:
                prefix = f"{package}:"
                inputs: Values = {
                    key.removeprefix(prefix): value
                    for key, value in self.scene.config.items()
                    if key.startswith(prefix)
                }
                if version:
                    inputs["version"] = version
                self._plain(Goal(urn=urn, type=PROVIDER_PREFIX + package, custom=True, inputs=inputs))
            return self._current[urn]

    def _provider_of(self, goal: Goal) -> tuple[str, Provider]:
        """The reference ("urn::id") and the provider that serves a goal."""
        urn = goal.provider.rpartition("::")[0]
        resource = (
            self._hosts.resource(urn) if urn else self._default_provider(package_of(goal.type), goal.version)
        )
        if resource is None:
            raise NoProvider(f"provider {urn} of {goal.urn} was not declared")
        host = self._hosts.get(resource.urn)
        if not host.supports(goal.type):
            raise NoProvider(
                f"{goal.type} is not in the embedded engine's provider for {host.package}: use the Pulumi CLI"
            )
        return f"{resource.urn}::{resource.id or UNKNOWN_TEXT}", host

    def _custom(self, goal: Goal) -> Resource:
        self._events.redactor.learn(goal.inputs)
        with self._generating:
            self._effects.guard()
            reference, host = self._provider_of(goal)
            old = self._claim(goal.urn)
            wanted = steps.declared(goal, old)
            live = old if old is not None and not old.pending_replacement else None
            inputs = self._check(host, goal, old, wanted, fresh=False)
            verdict = steps.decide(goal, old, inputs, self._diff(host, live, inputs, reference))
            if verdict.op is Op.REPLACE:
                inputs = self._check(host, goal, None, wanted, fresh=True)
                if verdict.delete_first and live is not None:
                    old = self._delete_first(live)
        draft = goal.draft(inputs, reference)
        resource = self._act(host, verdict, old, draft)
        with self._generating:
            self._current[goal.urn] = resource
        return resource

    def _act(self, host: Provider, verdict: Verdict, old: Resource | None, draft: Resource) -> Resource:
        if verdict.op is Op.SAME:
            assert old is not None
            outputs = remark(strip(old.outputs), draft.inputs, draft.additional_secret_outputs)
            same = replace(draft, id=old.id, outputs=outputs, created=old.created, modified=old.modified)
            self._events.before(Op.SAME, old, same)
            same = self._journal.put(same, old)
            self._events.after(Op.SAME, old, same)
            return same
        if verdict.op is Op.UPDATE:
            assert old is not None
            return self._effects.update(host, old, draft, verdict)
        return self._effects.create(host, old, draft, verdict)

    def _check(
        self, host: Provider, goal: Goal, old: Resource | None, wanted: Values, *, fresh: bool
    ) -> Values:
        olds = strip(old.inputs) if old is not None else None
        who = goal.draft({}).who
        checked = host.check(goal.type, who, olds, strip(wanted), fresh_name=fresh)
        if checked.failures:
            listed = "\n".join(f"{failure.property}: {failure.reason}" for failure in checked.failures)
            raise StepFailed(f"{goal.type} resource '{who.name}' has a problem: {listed}")
        return remark(checked.inputs, wanted)

    def _diff(self, host: Provider, old: Resource | None, inputs: Values, reference: str) -> Diffed:
        if old is None:
            return Diffed()
        diffed = host.diff(old.type, old.id, strip(old.inputs), strip(old.outputs), strip(inputs))
        before, after = (
            self._hosts.resource(old.provider_urn),
            self._hosts.resource(reference.rpartition("::")[0]),
        )
        moved = [
            key
            for key in steps.FIXED_PROVIDER_INPUTS
            if before and after and strip(before.inputs.get(key)) != strip(after.inputs.get(key))
        ]
        if moved:
            return replace(
                diffed, changed=(*diffed.changed, "provider"), replaces=(*diffed.replaces, "provider")
            )
        return diffed

    def _delete_first(self, old: Resource) -> Resource:
        """Delete what depends on `old`, then `old` itself; returns the mark that it will come back."""

        def replaced_by(dependent: Resource, keys: frozenset[str]) -> bool:
            news: Values = strip(dependent.inputs) | dict.fromkeys(keys, UNKNOWN)
            host = self._hosts.of(dependent)
            found = host.diff(
                dependent.type, dependent.id, strip(dependent.inputs), strip(dependent.outputs), news
            )
            return bool(found.replaces)

        candidates = [
            one for one in self._journal.snapshot().resources if one.urn not in self._claimed or one is old
        ]
        dependents = steps.cascade(candidates, old, replaced_by)
        steps.guard_protected(dependents)
        marks: dict[str, Resource] = {}
        for resource in (*reversed(dependents), old):
            marks[resource.urn] = self._effects.delete_first(resource)
        self._old |= marks
        return marks[old.urn]
