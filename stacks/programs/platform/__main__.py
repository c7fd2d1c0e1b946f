"""The `platform` stack: a network, and where GPU pools are asked for, a cluster that can run pods, with the pools.

Run by `ecomdeploy platform up`, or by `pulumi up` in this folder. `layout` in the settings is what `platform up` found
in the account (infra/ground/layout.py); without it the platform is laid out as a new one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import pulumi

from infra import program
from infra.components.addons import BEFORE_NODES, ON_NODES, Addons
from infra.components.cluster import Cluster
from infra.components.cluster_access import ClusterAccess
from infra.components.gpu_pool import GpuPool
from infra.components.karpenter.controller import Karpenter
from infra.components.karpenter.pool import KarpenterPool
from infra.components.karpenter.rights import KarpenterPlace
from infra.components.keys import EncryptionKey
from infra.components.networking.endpoints import SERVICES, SERVING, Endpoints
from infra.components.networking.flow_logs import FlowLogs
from infra.components.networking.network import Network
from infra.components.networking.serving_group import ServingGroup
from infra.components.system_nodes import SystemNodes
from infra.ground.layout import GroundPlan, lay_out
from infra.ground.survey import Offer, Standing
from infra.spec import PlatformSpec
from infra.tags import Tags


@dataclass
class Platform:
    """What the parts below have in common."""

    settings: program.Settings
    wanted: PlatformSpec
    layout: GroundPlan
    name: str
    tags: Tags
    options: pulumi.ResourceOptions

    def network(self) -> Network:
        wanted, layout = self.wanted, self.layout
        made = Network(
            f"{self.name}-network",
            project_tags=self.tags,
            region=self.settings.region,
            cidr=wanted.cidr,
            zones=tuple(layout.slots),
            slots=layout.slots,
            form=layout.form,
            nat=wanted.nat,
            nat_zone=layout.nat,
            opts=self.options,
        )
        vpc_id = made.resources.vpc.id
        if wanted.flow_logs != "none":
            FlowLogs(
                f"{self.name}-flows",
                project_tags=self.tags,
                region=self.settings.region,
                account=self.settings.account,
                vpc_id=vpc_id,
                traffic=wanted.flow_logs,
                days=wanted.log_days,
                partition=self.settings.partition,
                opts=self.options,
            )
        if endpoints := self.endpoints(made):
            self.serving(made, endpoints)
        pulumi.export("vpc_id", vpc_id)
        pulumi.export("private_subnets", made.private_subnet_ids)
        pulumi.export("public_subnets", made.public_subnet_ids)
        return made

    def endpoints(self, network: Network) -> Endpoints | None:
        """What the cluster needs of AWS's services, and what model servers do."""
        wanted = self.wanted
        parts = (SERVICES if wanted.gpu_pools else (), SERVING if wanted.serving else ())
        services = tuple(dict.fromkeys(one for part in parts for one in part))
        if not (wanted.endpoints and services):
            return None
        return Endpoints(
            f"{self.name}-endpoints",
            project_tags=self.tags,
            region=self.settings.region,
            vpc_id=network.resources.vpc.id,
            cidr=wanted.cidr,
            subnet_ids=network.private_subnets_in(self.layout.nodes),
            services=services,
            opts=self.options,
        )

    def serving(self, network: Network, endpoints: Endpoints) -> None:
        """Where `serve.network: platform` puts model servers: in the zones that have the endpoints."""
        if not self.wanted.serving:
            return
        group = ServingGroup(
            f"{self.name}-serving",
            project_tags=self.tags,
            vpc_id=network.resources.vpc.id,
            endpoints_group=endpoints.resources.group.id,
            s3_prefix_list=network.resources.s3_endpoint.prefix_list_id,
            opts=self.options,
        )
        subnets = network.private_subnets_in(self.layout.nodes)
        placed = {"subnets": subnets, "security_groups": [group.resources.group.id]}
        pulumi.export("serving_network", placed)

    def subnets(self, network: Network | None, zones: Collection[str]) -> pulumi.Input[list[str]]:
        if network is None:
            return list(self.wanted.vpc.subnets) if self.wanted.vpc else []
        return network.private_subnets_in(zones)

    def cluster(self, network: Network | None) -> Cluster:
        wanted, layout = self.wanted, self.layout
        key = EncryptionKey(
            f"{self.name}-key",
            project_tags=self.tags,
            alias=f"ecomdeploy-{self.name}",
            description=f"Secrets of {self.name}",
            opts=self.options,
        )
        return Cluster(
            f"{self.name}-cluster",
            project_tags=self.tags,
            cluster_name=self.name,
            version=layout.kubernetes_version,
            subnet_ids=self.subnets(network, layout.control_plane),
            security_group_ids=[network.resources.control_plane_group.id] if network else (),
            key_arn=key.arn,
            public_cidrs=wanted.public_cidrs,
            support=layout.support,
            region="" if layout.plain_names else self.settings.region,
            # A cluster of an earlier release has its group from EKS.
            log_days=None if layout.plain_names else wanted.log_days,
            partition=self.settings.partition,
            opts=self.options,
        )

    def addons(
        self, word: str, cluster: Cluster, names: tuple[str, ...], after: tuple[pulumi.Resource, ...]
    ) -> Addons:
        return Addons(
            f"{self.name}-{word}",
            project_tags=self.tags,
            cluster=cluster,
            cluster_name=self.name,
            region=self.settings.region,
            names=names,
            versions=self.layout.addons,
            after=after,
            partition=self.settings.partition,
            opts=self.options,
        )

    def kubernetes(self, network: Network | None) -> None:
        wanted, layout = self.wanted, self.layout
        cluster = self.cluster(network)
        early = self.addons("addons", cluster, BEFORE_NODES, ()).resources.addons
        # Where nodes are in other zones than their cluster, that is part of their name.
        zones = layout.nodes if set(layout.nodes) != set(layout.control_plane) else ()
        system = SystemNodes(
            f"{self.name}-system",
            project_tags=self.tags,
            nodes=wanted.system_nodes,
            cluster=cluster,
            subnet_ids=self.subnets(network, layout.nodes),
            count=layout.counts.get("system"),
            zones=zones,
            after=early,
            opts=self.options,
        )
        services = self.addons("services", cluster, ON_NODES, (system.resources.node_group,))
        pools = {
            pool.name: GpuPool(
                f"{self.name}-{pool.name}",
                project_tags=self.tags,
                pool=pool,
                cluster=cluster,
                subnet_ids=self.subnets(network, layout.nodes),
                count=layout.counts.get(pool.name),
                zones=zones,
                after=early,
                opts=self.options,
            )
            for pool in wanted.gpu_pools
            if not pool.is_karpenters
        }
        self.karpenter(cluster, network, services.resources.addons)
        if wanted.access:
            ClusterAccess(
                f"{self.name}-access",
                project_tags=self.tags,
                cluster=cluster,
                access=wanted.access,
                partition=self.settings.partition,
                opts=self.options,
            )
        pulumi.export("cluster", cluster.cluster_name)
        pulumi.export("cluster_endpoint", cluster.resources.cluster.endpoint)
        pulumi.export("kubernetes_version", cluster.resources.cluster.version)
        pulumi.export("node_groups", {pool: made.node_group_name for pool, made in pools.items()})

    def karpenter(
        self, cluster: Cluster, network: Network | None, after: tuple[pulumi.Resource, ...]
    ) -> None:
        """Pools whose nodes it brings, and what it needs for that; `after`: what its controller runs on."""
        pools = [pool for pool in self.wanted.gpu_pools if pool.is_karpenters]
        if not pools:
            return
        settings = self.settings
        within = program.provider_in(cluster, settings.region)
        controller = Karpenter(
            f"{self.name}-karpenter",
            project_tags=self.tags,
            cluster=cluster,
            place=KarpenterPlace(
                cluster=self.name,
                region=settings.region,
                account=settings.account,
                partition=settings.partition,
            ),
            kubernetes=within,
            local=settings.local,
            after=after,
            opts=self.options,
        )
        for pool in pools:
            KarpenterPool(
                f"{self.name}-{pool.name}",
                project_tags=self.tags,
                pool=pool,
                karpenter=controller,
                kubernetes=within,
                subnet_ids=self.subnets(network, self.layout.nodes),
                security_group=cluster.resources.cluster.vpc_config.cluster_security_group_id,
                local=settings.local,
                opts=self.options,
            )
        pulumi.export("node_pools", [pool.name for pool in pools])


def main() -> None:
    settings = program.settings()
    wanted = settings.section("platform", PlatformSpec)
    if settings.data.get("layout"):
        layout = settings.section("layout", GroundPlan)
    else:
        layout = lay_out(wanted, settings.region, Offer(), Standing())
    platform = Platform(
        settings=settings,
        wanted=wanted,
        layout=layout,
        name=settings.text("name"),
        tags=program.project_tags(settings, "platform"),
        options=pulumi.ResourceOptions(provider=program.provider(settings)),
    )
    network = None if wanted.vpc else platform.network()
    if wanted.vpc:
        pulumi.export("vpc_id", wanted.vpc.id)
        pulumi.export("private_subnets", list(wanted.vpc.subnets))
    if wanted.gpu_pools:
        platform.kubernetes(network)


program.run(main)
