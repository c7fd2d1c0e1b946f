"""What an operation will do, decided without doing it. No clock, no disk, no provider in here.

Source of the rules: pulumi/pulumi, pkg/resource/deploy/step_generator.go.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final

from infra.rehearsal.engine.errors import EngineError, Unsupported
from infra.rehearsal.engine.provider import DiffResponse, Values
from infra.rehearsal.engine.resource import Resource
from infra.rehearsal.engine.values import find_changes

REGION: Final = "region"
"""The input of a provider that says where its resources live."""


PROTECTED: Final = (
    "as it is currently marked for protection. To unprotect the resource, remove the `protect` flag from the "
    "resource in your Pulumi program and run `pulumi up`"
)


class Op(StrEnum):
    """Step names, as in Pulumi's events."""

    SAME = "same"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    REPLACE = "replace"
    CREATE_REPLACEMENT = "create-replacement"
    DELETE_REPLACED = "delete-replaced"
    REFRESH = "refresh"
    REMOVE_PENDING_REPLACE = "remove-pending-replace"


COUNTED: Final = frozenset({Op.SAME, Op.CREATE, Op.UPDATE, Op.DELETE, Op.REPLACE})
"""Summaries count logical steps: a replacement is one "replace", not its create and delete (step.go)."""


@dataclass(frozen=True)
class Goal(Resource):
    """What the program declares for one resource."""

    delete_before_replace: bool | None = None
    version: str = ""
    aliases: tuple[str, ...] = ()

    def as_resource(self, inputs: Values, provider: str = "") -> Resource:
        """The resource that the state will hold, before any call."""
        known = {field.name: getattr(self, field.name) for field in fields(Resource)}
        return Resource(**known | {"inputs": inputs, "provider": provider})


@dataclass(frozen=True)
class ResourcePlan:
    """What happens to one declared resource: `op` is SAME, CREATE, UPDATE or REPLACE."""

    op: Op
    changed: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    delete_first: bool = False

    @property
    def steps(self) -> tuple[Op, ...]:
        """The step names in Pulumi's order; deletions come apart, before or at the end."""
        if self.op is not Op.REPLACE:
            return (self.op,)
        return (
            (Op.REPLACE, Op.CREATE_REPLACEMENT) if self.delete_first else (Op.CREATE_REPLACEMENT, Op.REPLACE)
        )


@dataclass(frozen=True)
class Step:
    """One thing done to one resource, as events tell it."""

    op: Op
    old: Resource | None
    new: Resource | None
    plan: ResourcePlan = ResourcePlan(Op.SAME)

    @property
    def resource(self) -> Resource:
        """What it is about."""
        subject = self.new or self.old
        assert subject is not None
        return subject


def guard_renamed(goal: Goal, old_urns: Collection[str]) -> None:
    """Refuse an alias that would match something in the state; others (pulumi-aws has some) do nothing."""
    former = next((urn for urn in goal.aliases if urn in old_urns), None)
    if former is not None and goal.urn not in old_urns:
        raise Unsupported(f"the option aliases ({goal.urn} was {former})")


def decide(goal: Goal, old: Resource | None, diffed: DiffResponse) -> ResourcePlan:
    """Choose a custom resource's fate. `diffed` is the provider's comparison."""
    if old is None:
        return ResourcePlan(Op.CREATE)
    if old.pending_replacement:
        return ResourcePlan(Op.REPLACE, diffed.changed, diffed.replaces, delete_first=True)
    if diffed.replaces:
        if goal.protect and old.protect:
            raise EngineError(f'unable to replace resource "{goal.urn}"\n{PROTECTED}')
        first = goal.delete_before_replace
        return ResourcePlan(
            Op.REPLACE,
            tuple(dict.fromkeys((*diffed.changed, *diffed.replaces))),
            diffed.replaces,
            diffed.delete_before_replace if first is None else first,
        )
    return ResourcePlan(Op.UPDATE if diffed.changed or old.init_errors else Op.SAME, diffed.changed)


def decide_plain(goal: Goal, old: Resource | None) -> ResourcePlan:
    """Choose a component's or provider's fate: only the state changes, so any difference is an update."""
    if old is None:
        return ResourcePlan(Op.CREATE)
    changed = find_changes(old.inputs, goal.inputs)
    if REGION in changed and old.is_provider and not old.is_default_provider:
        raise EngineError(
            f"provider {old.name}: {REGION} cannot change in place, since its resources would be "
            "looked for elsewhere; destroy the stack first, or use the Pulumi CLI"
        )
    # A component has no provider that would say what differs.
    return ResourcePlan(Op.UPDATE if changed else Op.SAME, changed if old.is_provider else ())


def cascade(
    resources: Iterable[Resource], root: Resource, is_replaced: Callable[[Resource, frozenset[str]], bool]
) -> tuple[Resource, ...]:
    """What must go before `root` can be deleted and made again, in dependency order, `root` left out.

    `is_replaced(dependent, keys)` asks the dependent's provider whether it is replaced when the inputs `keys`
    become unknown. Resources that only `depends_on` it stay (calculateDependentReplacements).
    """
    gone = {root.urn}
    chosen = []
    for resource in resources:
        if not resource.custom or resource.is_provider or resource.delete or resource.urn in gone:
            continue
        keys = frozenset(key for key, urns in resource.property_dependencies.items() if gone & {*urns})
        if keys and is_replaced(resource, keys):
            gone.add(resource.urn)
            chosen.append(resource)
    return tuple(chosen)


def list_doomed(resources: Iterable[Resource], declared_urns: Collection[str]) -> tuple[Resource, ...]:
    """What a finished program leaves to be deleted: not declared any more, or superseded by a replacement."""
    return tuple(
        resource
        for resource in resources
        if resource.delete or resource.urn not in declared_urns or resource.pending_replacement
    )


def guard_protected(resources: Iterable[Resource]) -> None:
    """Refuse to delete protected resources, before anything is deleted."""
    for resource in resources:
        if resource.protect and not resource.pending_replacement and not resource.delete:
            raise EngineError(f'unable to delete resource "{resource.urn}"\n{PROTECTED}')


def blockers(resources: tuple[Resource, ...]) -> dict[int, set[int]]:
    """For each index, the indices that must be deleted before it (its dependents among `resources`)."""
    by_urn: dict[str, list[int]] = {}
    for index, resource in enumerate(resources):
        by_urn.setdefault(resource.urn, []).append(index)
    waits: dict[int, set[int]] = {index: set() for index in range(len(resources))}
    for index, resource in enumerate(resources):
        for urn in resource.needs:
            for needed in by_urn.get(urn, ()):
                waits[needed].add(index)
    return waits
