"""Names and tags: what tells one resource from another, and ours from everybody else's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from infra.rehearsal.engine.provider import UNKNOWN, ResourceIdentity, Values
from infra.rehearsal.providers.aws.resource import ResourceType

DEFAULTS = "__defaults"
"""Where Pulumi's bridge notes which inputs the program did not give (here: the automatic name)."""

OWNER = ("ecomdeploy:project", "ecomdeploy:stack")
RESOURCE = "ecomdeploy:resource"


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
    return all(key in wanted and found.get(key) == wanted[key] for key in OWNER)


def same_resource(wanted: Mapping[str, str], found: Mapping[str, str] | None) -> bool:
    """`ours`, and not tagged as another resource of the stack."""
    return ours(wanted, found) and (
        found is None or found.get(RESOURCE, "") in ("", wanted.get(RESOURCE, ""))
    )


def filters(tags: Mapping[str, str]) -> list[dict[str, Any]]:
    """EC2 filters for what is tagged as this very resource; empty where the tags do not say."""
    keys = (*OWNER, RESOURCE)
    if not all(key in tags for key in keys):
        return []
    return [{"Name": f"tag:{key}", "Values": [tags[key]]} for key in keys]
