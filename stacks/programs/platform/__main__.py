"""The `platform` stack: a network, and where GPU pools are asked for, a cluster with them.

Run by `ecomdeploy platform up`, or by `pulumi up` in this folder.
"""

from __future__ import annotations

import pulumi

from infra import program
from infra.components.cluster import Cluster
from infra.components.gpu_pool import GpuPool
from infra.components.keys import EncryptionKey
from infra.components.network import Network
from infra.spec import PlatformSpec
from infra.tags import Tags


def main() -> None:
    settings = program.settings()
    platform = settings.section("platform", PlatformSpec)
    name = settings.text("name")
    project_tags = program.project_tags(settings, "platform")
    options = pulumi.ResourceOptions(provider=program.provider(settings))
    network = Network(
        f"{name}-network",
        project_tags=project_tags,
        region=settings.region,
        cidr=platform.cidr,
        zones=platform.zones or (f"{settings.region}a", f"{settings.region}b"),
        opts=options,
    )
    pulumi.export("vpc_id", network.resources.vpc.id)
    pulumi.export("private_subnets", network.private_subnet_ids)
    pulumi.export("public_subnets", network.public_subnet_ids)
    if platform.gpu_pools:
        kubernetes(name, platform, network, project_tags, settings.partition, options)


def kubernetes(
    name: str,
    platform: PlatformSpec,
    network: Network,
    project_tags: Tags,
    partition: str,
    options: pulumi.ResourceOptions,
) -> None:
    key = EncryptionKey(
        f"{name}-key",
        project_tags=project_tags,
        alias=f"ecomdeploy-{name}",
        description=f"Secrets of {name}",
        opts=options,
    )
    cluster = Cluster(
        f"{name}-cluster",
        project_tags=project_tags,
        cluster_name=name,
        version=platform.kubernetes_version,
        subnet_ids=network.private_subnet_ids,
        security_group_ids=[network.resources.control_plane_group.id],
        key_arn=key.arn,
        partition=partition,
        opts=options,
    )
    pools = {
        pool.name: GpuPool(
            f"{name}-{pool.name}",
            project_tags=project_tags,
            pool=pool,
            cluster_name=cluster.cluster_name,
            node_role=cluster.resources.node_role,
            subnet_ids=network.private_subnet_ids,
            opts=options,
        )
        for pool in platform.gpu_pools
    }
    pulumi.export("cluster", cluster.cluster_name)
    pulumi.export("cluster_endpoint", cluster.resources.cluster.endpoint)
    pulumi.export("node_groups", {pool: made.node_group_name for pool, made in pools.items()})


program.run(main)
