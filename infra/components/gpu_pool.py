"""A managed node group with GPUs: driver and device plugin in its image, a taint that keeps other work away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi

from infra import instances
from infra.component import Component, require
from infra.components.cluster import Cluster
from infra.components.nodes import CAPACITY, NodesWanted, launch_template, node_group
from infra.gpu_nodes import IMAGES, RESOURCE, user_data, why_not
from infra.spec import GpuPoolSpec
from infra.tags import Tags

if TYPE_CHECKING:
    from pulumi_aws import ec2, eks


def want_nodes(pool: GpuPoolSpec, *, count: int | None = None, zones: tuple[str, ...] = ()) -> NodesWanted:
    """The pool as a node group."""
    image = IMAGES[pool.image]
    return NodesWanted(
        name=pool.name,
        image=image.kind,
        instances=pool.instances,
        capacity=CAPACITY[pool.capacity],
        least=pool.min,
        most=pool.max,
        disk_gb=pool.disk_gb,
        disk=image.disk,
        system_disk=image.system_disk,
        user_data=user_data(pool.sharing, pool.instances),
        labels={"ecomdeploy/pool": pool.name, "ecomdeploy/capacity": pool.capacity},
        desired=pool.desired,
        count=count,
        taint=RESOURCE,
        zones=zones,
    )


def node_group_name(pool: GpuPoolSpec, zones: tuple[str, ...] = ()) -> str:
    """What the pool's node group is called."""
    return want_nodes(pool, zones=zones).group_name


@dataclass(frozen=True, kw_only=True)
class GpuPoolResources:
    """What a GpuPool is made of."""

    launch_template: ec2.LaunchTemplate
    node_group: eks.NodeGroup


class GpuPool(Component):
    """`pool.desired` None: the size is an autoscaler's, or a hand's, between `min` and `max`; a number is declared, and
    somebody's edit of it shows in the next plan.

    All instance types must have the same GPU architecture family (x86-64 NVIDIA); mixed types give spot capacity more
    places to come from. `count` and `zones`: see `NodesWanted`.
    """

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        pool: GpuPoolSpec,
        cluster: Cluster,
        subnet_ids: pulumi.Input[Sequence[str]],
        count: int | None = None,
        zones: tuple[str, ...] = (),
        after: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        check(pool)
        super().__init__(name, project_tags=project_tags, opts=opts)
        wanted = want_nodes(pool, count=count, zones=zones)
        template = launch_template(self, wanted)
        group = node_group(self, wanted, template, cluster, subnet_ids, after)
        self.resources = GpuPoolResources(launch_template=template, node_group=group)
        self.node_group_name: pulumi.Output[str] = group.node_group_name
        self.register_outputs({"node_group": group.node_group_name})


def check(pool: GpuPoolSpec) -> None:
    """Sizes in order, at least one instance type, each known and with an NVIDIA GPU."""
    desired = pool.min if pool.desired is None else pool.desired
    require(
        f"GpuPool {pool.name}",
        {
            "instances: at least one instance type is needed": not pool.instances,
            f"min ({pool.min}) is more than max ({pool.max})": pool.min > pool.max,
            f"max: must be at least 1, got {pool.max}": pool.max < 1,
            f"desired ({desired}) is not between min ({pool.min}) and max ({pool.max})": pool.min <= pool.max
            and not pool.min <= desired <= pool.max,
            f"capacity: expected spot or on-demand, got {pool.capacity!r}": pool.capacity not in CAPACITY,
            f"name: at most 50 characters, got {pool.name!r}": len(pool.name) > 50,
        },
    )
    for instance in pool.instances:
        instances.pool(instance)
    require(f"GpuPool {pool.name}", why_not(pool))
