"""Names and tags: what tells one resource from another, and ours from everybody else's; what a create finds there
already, and whether it may be taken over."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from infra.rehearsal.engine.provider import UNKNOWN, ProviderError, ResourceIdentity, Values
from infra.rehearsal.engine.values import has_unknown
from infra.rehearsal.providers.aws.actions import look
from infra.rehearsal.providers.aws.resource import Reading, ResourceCall, ResourceType
from infra.tags import OWNER

DEFAULTS = "__defaults"
"""Where Pulumi's bridge notes which inputs the program did not give (here: the automatic name)."""

OF_STACK = ("ecomdeploy:project", "ecomdeploy:stack")
RESOURCE = "ecomdeploy:resource"
PLATFORM = "platform"
"""The project that the things of a platform carry, whichever service brought it up (infra/tags.py)."""
ACCEPTED_OWNERS = "ECOMDEPLOY_ACCEPTED_OWNERS"
"""The variable that names the owners, besides one's own, whose things may be taken over."""
ANYBODY = "*"


def automatic(row: ResourceType, who: ResourceIdentity, previous: str = "") -> str:
    """`name` + "-" + 7 hex, like Pulumi's, but following from the URN and the name it succeeds.

    Pulumi draws the digits; here a run that was killed between a create and its record must come to the same
    name again, or it would leave an orphan and make a second one.
    """
    prefix, longest = row.name_form
    digits = hashlib.sha256(f"{who.urn}\0{previous}".encode()).hexdigest()[:7]
    return f"{prefix}{who.name[: longest - len(prefix) - 8]}-{digits}"


def is_automatic(row: ResourceType, inputs: Mapping[str, Any]) -> bool:
    """Whether the resource's name is one that `automatic` gave."""
    return row.name != "" and row.name in inputs.get(DEFAULTS, ())


def merge_tags(default_tags: Mapping[str, str], inputs: Values) -> dict[str, str]:
    """`tagsAll`: the provider's default tags under the resource's own."""
    own = inputs.get("tags") or {}
    return {**default_tags, **({} if own is UNKNOWN else own)}


def is_known(tags: Any) -> bool:
    return tags is not UNKNOWN and UNKNOWN not in tags.values()


def ours(wanted: Mapping[str, str], found: Mapping[str, str] | None) -> bool:
    """Whether what was found carries this project's and stack's tags (None: it cannot be tagged)."""
    if found is None:
        return True
    return all(key in wanted and found.get(key) == wanted[key] for key in OF_STACK)


def same_resource(wanted: Mapping[str, str], found: Mapping[str, str] | None) -> bool:
    """`ours`, and not tagged as another resource of the stack."""
    return ours(wanted, found) and (
        found is None or found.get(RESOURCE, "") in ("", wanted.get(RESOURCE, ""))
    )


def filters(tags: Mapping[str, str]) -> list[dict[str, Any]]:
    """EC2 filters for what is tagged as this very resource; empty where the tags do not say."""
    keys = (*OF_STACK, RESOURCE)
    if not all(key in tags for key in keys):
        return []
    return [{"Name": f"tag:{key}", "Values": [tags[key]]} for key in keys]


def is_same(call: ResourceCall, reading: Reading) -> bool:
    """Whether it is this very resource by its tags, or has none yet because they come after the create call."""
    bare = call.row.tagged_after and not reading.tags
    return same_resource(call.tags, reading.tags) or bare


def find_stranger(call: ResourceCall, reading: Reading, accepted: Collection[str]) -> str:
    """The owner that it carries, "" where that is the wanted one or one of those `accepted` ("*": anybody)."""
    owner, mine = (reading.tags or {}).get(OWNER, ""), call.tags.get(OWNER)
    return "" if not mine or owner in ("", mine, *accepted) or ANYBODY in accepted else owner


def refuse_stranger(call: ResourceCall, reading: Reading, accepted: Collection[str]) -> None:
    """Raises `ProviderError` where it would be this very resource, and is another owner's."""
    stranger = find_stranger(call, reading, accepted)
    if stranger and is_same(call, reading):
        what = f"{call.row.type} {call.id} exists already and belongs to owner {stranger}"
        raise ProviderError("AlreadyExists", what)


def describe_found(call: ResourceCall, reading: Reading, accepted: Collection[str]) -> str:
    """Which it is, and who made it where its tags tell."""
    owner = (reading.tags or {}).get(OWNER, "")
    whose = f"made by owner {owner}" if owner else "made before things had an owner"
    if owner and owner == call.tags.get(OWNER):
        shared = call.tags.get(OF_STACK[0]) == PLATFORM
        whose = "of this environment's platform" if shared else "made by this project"
    refused = ": that is refused" if find_stranger(call, reading, accepted) else ""
    return f"{call.id}, {whose}{refused}" if reading.tags else call.id


def is_findable(call: ResourceCall) -> bool:
    """Whether a preview knows what a create would look by: names and tags, or all of it where it carries none."""
    row, inputs = call.row, call.inputs
    names = (inputs.get(name) for name in {*row.identity, row.name} - {""})
    if UNKNOWN in names or not is_known(inputs.get("tags") or {}):
        return False
    return bool(row.tag) or not has_unknown(inputs)


def find_own(call: ResourceCall) -> Iterator[Reading]:
    """What is there already under the names of a resource that is previewed, one after the other; its id is the call's.
    Whose it is may be another question still."""
    for candidate in call.row.find(call) if is_findable(call) else ():
        call.id = candidate
        reading = look(call)
        if reading is not None and same_resource(call.tags, reading.tags):
            yield reading
