"""Carries out what the program declares: check, diff, decide (steps.py), then the calls, in parallel.

A resource is registered only once the program has what it needs, so order among creates and updates comes
from the program. Checking, deciding and delete-before-replace happen one resource at a time; creates and
updates in parallel.
"""

from __future__ import annotations

import threading
import uuid
from dataclasses import replace

from infra.rehearsal.engine import paths, steps
from infra.rehearsal.engine.effects import Effects, describe
from infra.rehearsal.engine.errors import EngineError, Stopped, Unsupported
from infra.rehearsal.engine.provider import UNKNOWN, DiffResponse, Values
from infra.rehearsal.engine.redaction import restore_secrets
from infra.rehearsal.engine.resource import PROVIDER_PREFIX, STACK_TYPE, Resource, now, package_of, urn_of
from infra.rehearsal.engine.steps import Goal, Op, ResourcePlan, Step
from infra.rehearsal.engine.values import UNKNOWN_TEXT, has_unknown, strip


class Deployment:
    """One run of a program against the state, or its preview. `register` is called from many threads.

    `config` has values by full key ("aws:region"), secret ones as `Secret`.
    """

    def __init__(self, project: str, stack: str, config: Values, effects: Effects) -> None:
        self.project = project
        self.stack = stack
        self.effects = effects
        self._config = config
        self._journal = effects.journal
        self._pool = effects.pool
        self._events = effects.events
        self._old = effects.journal.snapshot().by_urn
        self._current: dict[str, Resource] = {}
        self._claimed: set[str] = set()
        self._cascaded: dict[str, tuple[str, ...]] = {}
        self._silent: dict[str, Step] = {}
        """Components that have not declared their outputs yet."""
        self._stack_outputs: Values | None = None
        self._generating = threading.RLock()

    def register(self, goal: Goal) -> Resource:
        """Bring one declared resource about; raises `Stopped` when the operation has failed."""
        try:
            self.effects.guard()
            steps.guard_renamed(goal, self._old)
            return self._plain(goal) if not goal.custom or goal.is_provider else self._custom(goal)
        except Stopped:
            raise
        except Exception as error:
            self.effects.fail(self._events.redactor.clean(describe(error)), goal.urn)
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
            step = self._silent.pop(urn, None)
        if step is not None:
            self._events.tell(replace(step, new=replace(resource, outputs=outputs)))

    def _put_outputs(self, resource: Resource, outputs: Values) -> None:
        self._current[resource.urn] = replace(resource, outputs=outputs)
        self._journal.swap(self._current[resource.urn], resource)

    def invoke(self, token: str, args: Values, provider: str, version: str) -> Values:
        """Answer a data source; raises `ProviderError` or `EngineError`."""
        urn = self._provider(provider.rpartition("::")[0], package_of(token), version).urn
        asked = self._pool.get(urn)
        with self.effects.slots:
            return asked.invoke(token, strip(args))

    def finish(self) -> None:
        """Delete what the program does not declare any more and what replacements have left behind.

        Only then do the stack's outputs count: a run that broke off keeps those of the last good one.
        """
        self.effects.delete_all(steps.list_doomed(self._journal.snapshot().resources, self._claimed))
        stack = next((one for one in self._current.values() if one.type == STACK_TYPE), None)
        if stack is not None and self._stack_outputs is not None:
            self._put_outputs(stack, self._stack_outputs)

    def _claim(self, urn: str) -> Resource | None:
        if urn in self._claimed:
            raise EngineError(f"Duplicate resource URN '{urn}'; try giving it a unique name")
        self._claimed.add(urn)
        return self._old.get(urn)

    def _plain(self, goal: Goal) -> Resource:
        """A component, the stack, or a provider: nothing to call."""
        self._events.redactor.learn(goal.inputs)
        with self._generating:
            old = self._claim(goal.urn)
            plan = steps.decide_plain(goal, old)
            new = replace(goal.as_resource(goal.inputs), created=now(), modified=now())
            if old is not None:
                kept = new.inherit(old)
                new = kept if plan.op is Op.SAME else replace(kept, modified=new.modified)
            elif new.is_provider and not self.effects.preview:
                new = replace(new, id=str(uuid.uuid4()))
            self._events.before(Step(plan.op, old, new, plan))
            if new.is_provider:
                new = replace(new, outputs=goal.inputs)
                self._pool.declare(new)
                if not has_unknown(goal.inputs):
                    self._configure(Step(plan.op, old, new, plan))
            resource = self._current[goal.urn] = self._journal.put(new, old)
        step = Step(plan.op, old, resource, plan)
        self._events.count(step)
        if new.is_provider or self.effects.preview:
            self._events.tell(step)
        if not new.is_provider:
            self._silent[goal.urn] = step
        return resource

    def _configure(self, step: Step) -> None:
        try:
            self._pool.get(step.resource.urn)
        except EngineError:
            if not step.resource.is_default_provider:
                self._events.tell_failure(step)
            raise

    def _provider(self, urn: str, package: str, version: str) -> Resource:
        """The one named, else a default one that the engine makes, configured from the stack's config."""
        if urn:
            return self._pool.resource(urn)
        name = "default" + (f"_{version}" if version else "").replace(".", "_")
        urn = urn_of(self.stack, self.project, "", PROVIDER_PREFIX + package, name)
        with self._generating:
            if urn not in self._current:
                inputs: Values = {"version": version} if version else {}
                for key, value in self._config.items():
                    namespace, _, name = key.partition(":")
                    if namespace == package:
                        inputs[name] = value
                self._plain(Goal(urn=urn, type=PROVIDER_PREFIX + package, custom=True, inputs=inputs))
            return self._current[urn]

    def _custom(self, goal: Goal) -> Resource:
        self._events.redactor.learn(goal.inputs)
        with self._generating:
            self.effects.guard()
            provider = self._provider(goal.provider_urn, package_of(goal.type), goal.version)
            old = self._claim(goal.urn)
            live = old if old is not None and not old.pending_replacement else None
            wanted = goal.inputs
            if old is not None:
                wanted = paths.keep_old(wanted, old.inputs, goal.ignore_changes)
            new = goal.as_resource(wanted, f"{provider.urn}::{provider.id or UNKNOWN_TEXT}")
            checked = self._check(new, old, fresh=False)
            plan = steps.decide(goal, old, self._compare(old, checked))
            if plan.op is Op.REPLACE:
                checked = self._check(new, None, fresh=True)
                if plan.delete_first and live is not None:
                    old = self._delete_first(live)
        resource = self._act(plan, old, checked)
        with self._generating:
            self._current[goal.urn] = resource
        return resource

    def _act(self, plan: ResourcePlan, old: Resource | None, new: Resource) -> Resource:
        if old is not None and plan.op in (Op.SAME, Op.UPDATE):
            new = new.inherit(old)
        if plan.op is not Op.SAME:
            return self.effects.put(old, new, plan)
        outputs = restore_secrets(new.outputs, new.inputs, new.additional_secret_outputs)
        same = replace(new, outputs=outputs)
        self._events.before(Step(Op.SAME, old, same))
        same = self._journal.put(same, old)
        self._events.after(Step(Op.SAME, old, same))
        return same

    def _check(self, new: Resource, old: Resource | None, *, fresh: bool) -> Resource:
        """The resource with its inputs completed; `fresh` asks for another name than the last."""
        provider = self._pool.get(new.provider_urn)
        if not provider.supports(new.type):
            raise Unsupported(f"{new.type} of package {provider.package}")
        olds = strip(old.inputs) if old is not None else None
        checked = provider.check(new.type, new.who, olds, strip(new.inputs), fresh_name=fresh)
        if checked.failures:
            listed = "\n".join(f"{failure.property}: {failure.reason}" for failure in checked.failures)
            raise EngineError(f"{new.type} resource '{new.name}' has a problem: {listed}")
        return replace(new, inputs=restore_secrets(checked.inputs, new.inputs))

    def _compare(self, old: Resource | None, new: Resource) -> DiffResponse:
        """What differs; of what went in a cascade only the inputs for whose sake it went are told."""
        if old is None:
            return DiffResponse()
        if old.urn in self._cascaded:
            return DiffResponse(replaces=self._cascaded[old.urn])
        return self._diff(old, new)

    def _diff(self, old: Resource, new: Resource) -> DiffResponse:
        diffed = self._pool.diff(replace(old, provider=new.provider), new.inputs, new.ignore_changes)
        providers = [self._pool.resource(one.provider_urn) for one in (old, new)]
        before, after = (strip(provider.inputs.get(steps.REGION)) for provider in providers)
        if before == after:
            return diffed
        return replace(diffed, changed=(*diffed.changed, "provider"), replaces=(*diffed.replaces, "provider"))

    def _delete_first(self, old: Resource) -> Resource:
        """Delete what depends on `old`, then `old` itself; returns its placeholder."""

        def is_replaced(dependent: Resource, keys: frozenset[str]) -> bool:
            diffed = self._pool.diff(dependent, dependent.inputs | dict.fromkeys(keys, UNKNOWN))
            if diffed.replaces:
                self._cascaded[dependent.urn] = diffed.replaces
            return bool(diffed.replaces)

        candidates = [
            one for one in self._journal.snapshot().resources if one.urn not in self._claimed or one is old
        ]
        dependents = steps.cascade(candidates, old, is_replaced)
        steps.guard_protected(dependents)
        placeholders = {one.urn: self.effects.delete_first(one) for one in (*reversed(dependents), old)}
        self._old |= placeholders
        return placeholders[old.urn]
