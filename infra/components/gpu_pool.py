"""A managed node group with GPUs: NVIDIA's driver in the image, a taint that keeps other work away."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi

from infra import instances
from infra.component import Component, require
from infra.components.role import ServiceRole
from infra.spec import GpuPoolSpec
from infra.tags import Tags

if TYPE_CHECKING:
    from pulumi_aws import ec2, eks

IMAGE_TYPE = "AL2023_x86_64_NVIDIA"
"""Amazon Linux 2023 with driver and container toolkit; the device plugin comes with the cluster's add-ons
(https://docs.aws.amazon.com/eks/latest/userguide/ml-eks-optimized-ami.html)."""
TAINT = "nvidia.com/gpu"
CAPACITY = {"spot": "SPOT", "on-demand": "ON_DEMAND"}
DEVICE = "/dev/xvda"


@dataclass(frozen=True, kw_only=True)
class GpuPoolResources:
    """What a GpuPool is made of."""

    launch_template: ec2.LaunchTemplate
    node_group: eks.NodeGroup


def node_group_name(pool: GpuPoolSpec) -> str:
    """The pool's name and a digest of what cannot change in place, so that a successor can stand beside it.

    Source of what cannot: https://docs.aws.amazon.com/eks/latest/APIReference/API_UpdateNodegroupConfig.html
    """
    fixed = "\0".join((*pool.instances, CAPACITY[pool.capacity], IMAGE_TYPE))
    return f"{pool.name}-{hashlib.sha256(fixed.encode()).hexdigest()[:8]}"


class GpuPool(Component):
    """`pool.desired` is declared, not ignored: somebody's edit of the size shows in the next plan.

    (When an autoscaler owns the size, this is the place to say so.) All instance types must have the same GPU
    architecture family (x86-64 NVIDIA); mixed types give spot capacity more places to come from.
    """

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        pool: GpuPoolSpec,
        cluster_name: pulumi.Input[str],
        node_role: ServiceRole,
        subnet_ids: pulumi.Input[Sequence[str]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        check(pool)
        super().__init__(name, project_tags=project_tags, opts=opts)
        self.pool = pool
        template = self._launch_template()
        group = self._node_group(template, cluster_name, node_role, subnet_ids)
        self.resources = GpuPoolResources(launch_template=template, node_group=group)
        self.node_group_name: pulumi.Output[str] = group.node_group_name
        self.register_outputs({"node_group": group.node_group_name})

    def _launch_template(self) -> ec2.LaunchTemplate:
        from pulumi_aws import ec2

        suffix = "template"
        return ec2.LaunchTemplate(
            self.child(suffix),
            name=f"{self.project_tags.environment}-{self.child(suffix)}",
            update_default_version=True,
            # One hop: containers cannot reach the node's credentials.
            metadata_options=ec2.LaunchTemplateMetadataOptionsArgs(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
            ),
            block_device_mappings=[
                ec2.LaunchTemplateBlockDeviceMappingArgs(
                    device_name=DEVICE,
                    ebs=ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
                        volume_type="gp3",
                        volume_size=self.pool.disk_gb,
                        # Text, not a boolean: Terraform's type, which the bridge keeps.
                        encrypted="true",
                        delete_on_termination="true",
                    ),
                )
            ],
            tag_specifications=[
                ec2.LaunchTemplateTagSpecificationArgs(
                    resource_type=kind, tags=self.tags(suffix, Name=self.child("node"))
                )
                for kind in ("instance", "volume")
            ],
            tags=self.tags(suffix),
            opts=self.options(),
        )

    def _node_group(
        self,
        template: ec2.LaunchTemplate,
        cluster_name: pulumi.Input[str],
        node_role: ServiceRole,
        subnet_ids: pulumi.Input[Sequence[str]],
    ) -> eks.NodeGroup:
        from pulumi_aws import eks

        pool = self.pool
        return eks.NodeGroup(
            self.name,
            cluster_name=cluster_name,
            node_group_name=node_group_name(pool),
            node_role_arn=node_role.arn,
            subnet_ids=subnet_ids,
            ami_type=IMAGE_TYPE,
            instance_types=list(pool.instances),
            capacity_type=CAPACITY[pool.capacity],
            scaling_config=eks.NodeGroupScalingConfigArgs(
                min_size=pool.min,
                max_size=pool.max,
                desired_size=pool.min if pool.desired is None else pool.desired,
            ),
            launch_template=eks.NodeGroupLaunchTemplateArgs(
                id=template.id, version=pulumi.Output.from_input(template.latest_version).apply(str)
            ),
            labels={"ecomdeploy/pool": pool.name, "ecomdeploy/capacity": pool.capacity},
            taints=[eks.NodeGroupTaintArgs(key=TAINT, value="present", effect="NO_SCHEDULE")],
            tags=self.tags(),
            opts=self.options(depends_on=list(node_role.ready)),
        )


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
