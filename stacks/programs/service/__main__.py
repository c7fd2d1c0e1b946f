"""The `service` stack: one endpoint and the releases it can be put on.

Run by `ecomdeploy up`, or by `pulumi up` in this folder: that may add dark releases, it never shifts traffic.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pulumi

from infra import program
from infra.program import Settings
from infra.spec import alarms_from, scale_from
from infra.targets.base import Declared, Service
from infra.targets.catalog import targets
from modelpack.errors import BadInput


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
            scale=settings.section("scale", scale_from),
            alarms=settings.section("alarms", alarms_from),
        ),
        read_releases(settings),
        pulumi.ResourceOptions(provider=program.provider(settings)),
    )
    pulumi.export("endpoint", provisioned.endpoint)
    pulumi.export("revisions", provisioned.revisions)
    pulumi.export("alarms", list(provisioned.alarms))


def read_releases(settings: Settings) -> list[Declared]:
    """The retained releases, each as it was made: a later change of scale leaves them as they are."""
    names = ("key", "image", "instance", "count")
    found = []
    for release in settings.data.get("releases", ()):
        missing = [name for name in names if name not in release]
        if missing:
            raise BadInput(f"settings: releases: {', '.join(missing)} missing in {release}")
        found.append(
            Declared(
                **{name: release[name] for name in names},
                environment=release.get("environment", {}),
                initial=bool(release.get("initial")),
                host_image=str(release.get("host_image", "")),
            )
        )
    return found


program.run(main)
