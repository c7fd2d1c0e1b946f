"""A few nodes without a taint, so that a cluster can run a pod: its DNS, metrics and storage drivers go here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi

from infra.component import Component, require
from infra.components.cluster import Cluster
from infra.components.nodes import CAPACITY, NodesWanted, launch_template, node_group
from infra.spec import SystemNodesSpec
from infra.tags import Tags

if TYPE_CHECKING:
    from pulumi_aws import ec2, eks

IMAGE_TYPE = "AL2023_x86_64_STANDARD"
DISK_GB = 50


@dataclass(frozen=True, kw_only=True)
class SystemNodesResources:
    """What a SystemNodes is made of."""

    launch_template: ec2.LaunchTemplate
    node_group: eks.NodeGroup


class SystemNodes(Component):
    """On demand, for what they carry must not be taken away; two of them, in two zones, survive the loss of one."""

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        nodes: SystemNodesSpec,
        cluster: Cluster,
        subnet_ids: pulumi.Input[Sequence[str]],
        count: int | None = None,
        zones: tuple[str, ...] = (),
        after: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        require("SystemNodes", {f"min ({nodes.min}) is more than max ({nodes.max})": nodes.min > nodes.max})
        super().__init__(name, project_tags=project_tags, opts=opts)
        wanted = want_nodes(nodes, count=count, zones=zones)
        template = launch_template(self, wanted)
        group = node_group(self, wanted, template, cluster, subnet_ids, after)
        self.resources = SystemNodesResources(launch_template=template, node_group=group)
        self.node_group_name: pulumi.Output[str] = group.node_group_name
        self.register_outputs({"node_group": group.node_group_name})


def want_nodes(
    nodes: SystemNodesSpec, *, count: int | None = None, zones: tuple[str, ...] = ()
) -> NodesWanted:
    """The system nodes as a node group."""
    return NodesWanted(
        name="system",
        image=IMAGE_TYPE,
        instances=nodes.instances,
        capacity=CAPACITY["on-demand"],
        least=nodes.min,
        most=nodes.max,
        disk_gb=DISK_GB,
        labels={"ecomdeploy/pool": "system"},
        count=count,
        zones=zones,
    )
