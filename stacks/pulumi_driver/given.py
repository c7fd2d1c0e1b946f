"""The driver of an environment that has no base stack: what that would make is there already, and somebody else's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from modelpack.progress import Progress
from stacks.pulumi_driver.driver import Change, Deployed, Driver, Settings, Stack


@dataclass(frozen=True)
class GivenBase:
    """`driver` for all stacks but the base, whose outputs are `given` and at which nothing ever changes. It is no
    stack of Pulumi's, so nothing of it is in Pulumi's state either."""

    driver: Driver
    given: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.driver.name

    @property
    def kind(self) -> Literal["embedded", "pulumi"]:
        return self.driver.kind

    @property
    def looks(self) -> bool:
        return self.driver.looks

    def accept(self, owners: Collection[str]) -> None:
        self.driver.accept(owners)

    def up(self, stack: Stack, settings: Settings, progress: Progress, *, refresh: bool) -> Deployed:
        if stack.program == "base":
            return Deployed(dict(self.given))
        return self.driver.up(stack, settings, progress, refresh=refresh)

    def preview(self, stack: Stack, settings: Settings) -> tuple[Change, ...]:
        return () if stack.program == "base" else self.driver.preview(stack, settings)

    def has_drifted(self, stack: Stack, settings: Settings) -> bool:
        return stack.program != "base" and self.driver.has_drifted(stack, settings)

    def destroy(self, stack: Stack, progress: Progress) -> tuple[Change, ...]:
        return () if stack.program == "base" else self.driver.destroy(stack, progress)

    def outputs(self, stack: Stack) -> Mapping[str, Any] | None:
        return None if stack.program == "base" else self.driver.outputs(stack)

    def strays(self, stack: Stack) -> tuple[str, ...]:
        return () if stack.program == "base" else self.driver.strays(stack)

    def source(self, stack: Stack) -> str:
        if stack.program == "base":
            return hashlib.sha256(json.dumps(dict(self.given), sort_keys=True).encode()).hexdigest()
        return self.driver.source(stack)
