"""A log group of ours, kept for a while: AWS's services make their own where there is none, and keep it for ever."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi

from infra.component import Component, require
from infra.tags import Tags

if TYPE_CHECKING:
    from pulumi_aws import cloudwatch


@dataclass(frozen=True, kw_only=True)
class LogsResources:
    """What Logs is made of."""

    group: cloudwatch.LogGroup


class Logs(Component):
    """`group`: its name, which says who writes there; `days`: how long each line is kept."""

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        group: str,
        days: int,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        require("Logs", {f"days: at least 1, got {days}": days < 1, "group: must be given": not group})
        super().__init__(name, project_tags=project_tags, opts=opts)
        self.resources = LogsResources(group=self._create(group, days))
        self.group_name: pulumi.Output[str] = self.resources.group.name
        self.register_outputs({"group": self.group_name})

    def _create(self, group: str, days: int) -> cloudwatch.LogGroup:
        from pulumi_aws import cloudwatch

        return cloudwatch.LogGroup(
            self.name, name=group, retention_in_days=days, tags=self.tags(), opts=self.options()
        )
