"""Tags: whose a resource is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

TAG_VALUE_LENGTH = 256
"""AWS's limit for a tag's value."""

OWNER = "ecomdeploy:owner"
"""The id of whoever made it (stacks/records/owner.py); what earlier versions made has none."""


@dataclass(frozen=True, kw_only=True)
class Tags:
    """`project`: the service, or "platform"; `stack`: `<Pulumi project>/<Pulumi stack>`; `owner`: its id, "" where
    nobody gave one; `more`: the user's own, which are on everything."""

    project: str
    stack: str
    environment: str
    owner: str = ""
    more: Mapping[str, str] = field(default_factory=dict)

    def tags(self, resource: str) -> dict[str, str]:
        """Tags for the resource of that Pulumi name: enough to find and adopt it after a kill."""
        owner = {OWNER: self.owner} if self.owner else {}
        return {**self.lasting_tags(resource), **owner}

    def lasting_tags(self, resource: str) -> dict[str, str]:
        """The same without the owner, who may change: for what cannot have another tag without being made anew."""
        return {
            **self.more,
            "ecomdeploy:project": self.project,
            "ecomdeploy:stack": self.stack,
            "ecomdeploy:environment": self.environment,
            "ecomdeploy:resource": resource[:TAG_VALUE_LENGTH],
            "ecomdeploy:managed-by": "ecomdeploy",
        }


def tag_map(
    pairs: Iterable[Mapping[str, str]] | None, key: str = "Key", value: str = "Value"
) -> dict[str, str]:
    """An API's list of pairs as a map; `key` and `value`: what it calls them."""
    return {pair[key]: pair[value] for pair in pairs or ()}
