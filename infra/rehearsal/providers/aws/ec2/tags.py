"""What EC2's types share: tags at birth and later, finding by tags, describing one thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from infra.rehearsal.engine.provider import Values
from infra.rehearsal.providers.aws import naming
from infra.rehearsal.providers.aws.resource import ResourceCall


def tags_at_birth(call: ResourceCall, kind: str) -> Values:
    """The `TagSpecifications` argument of a create call; a kill cannot come between the two."""
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": call.pairs()}]} if call.tags else {}


def create_tagged(
    operation: str, kind: str, noun: str, *names: str, whole: bool = False, key: str = "", **fixed: Any
) -> Callable[[ResourceCall], str]:
    """A `create` that tags at birth: the inputs `names` (or the `whole` of them) and `fixed` members go into the call;
    the new thing's id is in the answer's `noun`, under `key` (else "<noun>Id")."""

    def create(call: ResourceCall) -> str:
        body = call.body(*names) if names or whole else {}
        answer = getattr(call.api, operation)(**fixed, **body, **tags_at_birth(call, kind))
        return str((answer[noun] if noun else answer)[key or f"{noun}Id"])

    return create


def tag(call: ResourceCall, add: dict[str, str], drop: list[str]) -> None:
    if add:
        call.api.create_tags(
            Resources=[call.id], Tags=[{"Key": key, "Value": add[key]} for key in sorted(add)]
        )
    if drop:
        call.api.delete_tags(Resources=[call.id], Tags=[{"Key": key} for key in drop])


def describe(call: ResourceCall, nouns: str, filters: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The things of one kind ("vpcs") that pass the filters."""
    answer = getattr(call.api, f"describe_{nouns}")(Filters=filters)
    key = next(key for key, value in answer.items() if isinstance(value, list))
    return list(answer[key])


def one(call: ResourceCall, nouns: str, wanted: dict[str, str]) -> dict[str, Any]:
    """The first thing that passes; empty when there is none."""
    found = describe(call, nouns, [{"Name": name, "Values": [value]} for name, value in wanted.items()])
    return found[0] if found else {}


def find_by_tags(nouns: str, key: str, states: tuple[str, ...] = ()) -> Callable[[ResourceCall], list[str]]:
    """A `find` by the tags that name project, stack and resource; `states` leaves out the dying."""

    def find(call: ResourceCall) -> list[str]:
        filters = naming.filters(call.tags)
        things = describe(call, nouns, filters) if filters else []
        return [thing[key] for thing in things if not states or thing.get("State") in states]

    return find
