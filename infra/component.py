"""The base of every component: one type token pattern, the same tags on everything, children below.

A component checks its arguments, then creates its resources, and keeps them in a frozen dataclass called
`<Component>Resources`. It knows nothing of the command line, and runs under the Pulumi CLI as it is.
"""

from __future__ import annotations

from typing import Any, ClassVar

import pulumi

from infra.tags import Tags
from modelpack.errors import BadInput, Problem


class Component(pulumi.ComponentResource):
    """A group of resources named after it: the child "nat" of the component "network" is "network-nat"."""

    type_name: ClassVar[str] = ""
    """The last word of its Pulumi type where that is not the class's name. It is part of the URN of all below it, so a
    class that is renamed keeps it: another type would replace what is deployed."""

    def __init__(self, name: str, *, project_tags: Tags, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(f"ecomdeploy:infra:{self.type_name or type(self).__name__}", name, None, opts)
        self.name = name
        self.project_tags = project_tags

    def child(self, suffix: str) -> str:
        """The Pulumi name of a child; Pulumi's own identity (URN) leaves the parent's name out."""
        return f"{self.name}-{suffix}"

    def tags(self, suffix: str = "", **more: str) -> dict[str, str]:
        """Tags of the child `suffix` (of the resource named like the component itself when empty)."""
        return self.project_tags.tags(self.child(suffix) if suffix else self.name) | more

    def options(self, **more: Any) -> pulumi.ResourceOptions:
        """Options of a child."""
        return pulumi.ResourceOptions(parent=self, **more)


def require(component: str, problems: dict[str, bool]) -> None:
    """Raise `BadInput` with every sentence that holds, before anything is created."""
    found = tuple(Problem(what, where=component) for what, wrong in problems.items() if wrong)
    if found:
        raise BadInput(found)
