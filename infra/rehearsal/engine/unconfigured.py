"""The provider of a preview whose configuration is not known yet: it knows nothing either.

Source: pulumi/pulumi, sdk/go/common/resource/plugin/provider_plugin.go (`configKnown`).
"""

# ruff: noqa: A002 - `type` and `id` are the protocol's own words

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.rehearsal.engine.provider import (
    CheckResponse,
    CreateResponse,
    DiffResponse,
    KnownResource,
    ReadResponse,
    ResourceIdentity,
    Values,
)
from infra.rehearsal.engine.values import find_changes


class UnconfiguredProvider:
    """Takes inputs as they are; what differs would be updated in place."""

    inside = False

    def __init__(self, package: str) -> None:
        self.package = package

    def configure(self, inputs: Mapping[str, Any]) -> None:
        """There is nothing to take."""

    def supports(self, type: str) -> bool:
        return True

    def check(
        self, type: str, who: ResourceIdentity, olds: Values | None, news: Values, *, fresh_name: bool
    ) -> CheckResponse:
        return CheckResponse(news)

    def diff(self, old: KnownResource, news: Values, *, ignored: tuple[str, ...] = ()) -> DiffResponse:
        """An update, as far as anybody can say: the CLI calls the difference unavailable and assumes one."""
        return DiffResponse(find_changes(old.inputs, news) or ("provider",))

    def create(self, type: str, who: ResourceIdentity, inputs: Values, *, preview: bool) -> CreateResponse:
        return CreateResponse("", inputs)

    def read(self, known: KnownResource) -> ReadResponse | None:
        return ReadResponse(known.id, known.inputs, known.outputs)

    def update(
        self, old: KnownResource, news: Values, *, preview: bool, ignored: tuple[str, ...] = ()
    ) -> Values:
        return {**old.outputs, **news}

    def delete(self, known: KnownResource) -> None:
        """A preview deletes nothing."""

    def invoke(self, token: str, args: Values) -> Values:
        return {}
