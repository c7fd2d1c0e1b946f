"""What the scenarios' programs are made of."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pulumi
from pulumi import ResourceOptions
from pulumi.runtime.settings import get_root_resource

from tests.reality.file_cloud import PACKAGE


class FreeThing(pulumi.CustomResource):
    """A resource of the file cloud: inputs as given, outputs by the same names, `arn` and `size2`."""

    arn: pulumi.Output[str]
    name: pulumi.Output[str]
    size2: pulumi.Output[int]

    def __init__(
        self,
        name: str,
        inputs: Mapping[str, Any] | None = None,
        opts: ResourceOptions | None = None,
        kind: str = "Thing",
    ) -> None:
        outputs = {"arn": None, "size2": None, "name": None}
        super().__init__(f"{PACKAGE}:index:{kind}", name, {**outputs, **(inputs or {})}, opts)


class Thing(FreeThing):
    """One that is registered after those declared before it are there, though it does not depend on them: with
    several under way at once, which of them a failure still lets through is a matter of luck."""

    def __init__(
        self,
        name: str,
        inputs: Mapping[str, Any] | None = None,
        opts: ResourceOptions | None = None,
        kind: str = "Thing",
    ) -> None:
        stack: Any = get_root_resource()
        before: pulumi.Resource | None = getattr(stack, "latest_thing", None)
        super().__init__(name, {"arn": none_after(before), **(inputs or {})}, opts, kind)
        stack.latest_thing = self


async def none_after(resource: pulumi.Resource | None) -> None:
    """None, once the resource is there or has failed."""
    if resource is not None:
        with suppress(Exception):
            await resource.urn.future()


class Group(pulumi.ComponentResource):
    """A component."""

    def __init__(
        self, name: str, inputs: Mapping[str, Any] | None = None, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("shop:index:Group", name, dict(inputs or {}), opts)


class LabProvider(pulumi.ProviderResource):
    """An explicit provider of the file cloud."""

    def __init__(self, name: str, inputs: Mapping[str, Any], opts: ResourceOptions | None = None) -> None:
        super().__init__(PACKAGE, name, dict(inputs), opts)


def fan() -> None:
    """Two chains of two."""
    a = Thing("a", {"name": "a"})
    b = Thing("b", {"name": "b", "size": 1})
    Thing("c", {"name": "c", "link": b.arn})
    Thing("d", {"name": "d", "link": a.arn})
    pulumi.export("a", a.arn)


def chain() -> None:
    """Three under a component, auto-named."""
    group = Group("group")
    a = Thing("a", {"size": 1}, ResourceOptions(parent=group))
    b = Thing("b", {"size": 2, "link": a.arn, "tags": {"x": "1", "y": a.name}}, ResourceOptions(parent=group))
    c = Thing("c", {"size": 3, "links": [a.arn, b.arn]}, ResourceOptions(depends_on=[b]))
    group.register_outputs({"first": a.arn})
    pulumi.export("c", c.arn)
    pulumi.export("n", 3)
    pulumi.export("f", 1.5)
    pulumi.export("nothing", None)
    pulumi.export("nested", {"l": [1, {"z": b.arn}], "e": [], "d": {}})
