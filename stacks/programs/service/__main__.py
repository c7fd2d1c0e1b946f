"""The `service` stack: one endpoint and the releases it can be put on.

Run by `ecomdeploy up`, or by `pulumi up` in this folder: that may add dark releases, it never shifts traffic.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pulumi

from infra import program
from infra.spec import AlarmSpec, ClusterSpec, ScaleSpec
from infra.targets.base import OURS, Declared, MetricsPlace, Service
from infra.targets.catalog import targets


def main() -> None:
    settings = program.settings()
    service = settings.text("service")
    target = targets().get(settings.text("target"))
    provider = program.kubernetes_provider(settings) if target.on_cluster else program.provider(settings)
    provisioned = target.resources(
        Service(
            endpoint=f"{service}-{settings.environment}",
            base=settings.data.get("base") or {},
            project_tags=program.project_tags(settings, service),
            now=datetime.now(UTC),
            account=settings.account,
            region=settings.region,
            partition=settings.partition,
            namespace=settings.data.get("namespace", "default"),
            cluster=settings.section("cluster", ClusterSpec) if settings.cloud == "cluster" else OURS,
            confidential=globals().get("confidential", {}),
            scale=settings.section("scale", ScaleSpec),
            alarms=settings.section("alarms", AlarmSpec),
            watched=bool(settings.data.get("watched")),
            rules=bool(settings.data.get("rules")),
            metrics=settings.section("metrics", MetricsPlace),
        ),
        # Each as it was made: a later change of scale leaves it as it is.
        settings.section("releases", tuple[Declared, ...], ()),
        pulumi.ResourceOptions(provider=provider),
    )
    pulumi.export("endpoint", provisioned.endpoint)
    pulumi.export("revisions", provisioned.revisions)
    pulumi.export("alarms", list(provisioned.alarms))
    pulumi.export("release_alarms", {key: list(names) for key, names in provisioned.release_alarms.items()})
    pulumi.export("shadows", provisioned.shadows)
    pulumi.export("shadow_alarms", {key: list(names) for key, names in provisioned.shadow_alarms.items()})


program.run(main)
