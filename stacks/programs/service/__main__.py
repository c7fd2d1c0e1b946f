"""The `service` stack: one endpoint and the releases it can be put on.

Run by `ecomdeploy up`, or by `pulumi up` in this folder: that may add dark releases, it never shifts traffic.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pulumi

from infra import program
from infra.spec import AlarmSpec, ScaleSpec
from infra.targets.base import Declared, Service
from infra.targets.catalog import targets


def main() -> None:
    settings = program.settings()
    service = settings.text("service")
    target = targets().get(settings.text("target"))
    provisioned = target.resources(
        Service(
            endpoint=f"{service}-{settings.environment}",
            base=settings.data.get("base") or {},
            project_tags=program.project_tags(settings, service),
            now=datetime.now(UTC),
            account=settings.account,
            region=settings.region,
            partition=settings.partition,
            confidential=globals().get("confidential", {}),
            scale=settings.section("scale", ScaleSpec),
            alarms=settings.section("alarms", AlarmSpec),
        ),
        # Each as it was made: a later change of scale leaves it as it is.
        settings.section("releases", tuple[Declared, ...], ()),
        pulumi.ResourceOptions(provider=program.provider(settings)),
    )
    pulumi.export("endpoint", provisioned.endpoint)
    pulumi.export("revisions", provisioned.revisions)
    pulumi.export("alarms", list(provisioned.alarms))


program.run(main)
