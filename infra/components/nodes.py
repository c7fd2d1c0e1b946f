"""What every node group has: encrypted disks, guarded credentials, the cluster's version, a size others may own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi

from infra.component import Component
from infra.components.cluster import Cluster
from infra.names import fit

if TYPE_CHECKING:
    from pulumi_aws import ec2, eks

CAPACITY = {"spot": "SPOT", "on-demand": "ON_DEMAND"}
DEVICE = "/dev/xvda"
TEMPLATE_LENGTH = 128
"""https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplate.html"""
GROUP_LENGTH = 63
"""https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateNodegroup.html"""


@dataclass(frozen=True, kw_only=True)
class NodesWanted:
    """One node group as it is wanted. `desired` None: the size is whoever's that scales it, within `least` and `most`.

    `disk`: the device where containers are; `system_disk`: the system's own, where that is another; `user_data`: what
    the image reads when it boots. `count`: the size to declare all the same, once, where the one it has is out of its
    range. `zones`: where its nodes are, if those are not the cluster's own.
    """

    name: str
    image: str
    instances: tuple[str, ...]
    capacity: str
    least: int
    most: int
    disk_gb: int
    labels: Mapping[str, str]
    desired: int | None = None
    count: int | None = None
    taint: str = ""
    disk: str = DEVICE
    system_disk: str = ""
    user_data: str = ""
    zones: tuple[str, ...] = ()

    @property
    def group_name(self) -> str:
        """The name and a digest of what cannot change in place, so that a successor can stand beside it.

        Source of what cannot: https://docs.aws.amazon.com/eks/latest/APIReference/API_UpdateNodegroupConfig.html
        """
        fixed = "\0".join((*self.instances, self.capacity, self.image, *self.zones))
        return f"{fit(self.name, GROUP_LENGTH - 9)}-{hashlib.sha256(fixed.encode()).hexdigest()[:8]}"


def launch_template(component: Component, wanted: NodesWanted) -> ec2.LaunchTemplate:
    """Below the component, under its name."""
    from pulumi_aws import ec2

    suffix = "template"
    return ec2.LaunchTemplate(
        component.child(suffix),
        name=fit(f"{component.project_tags.environment}-{component.child(suffix)}", TEMPLATE_LENGTH),
        update_default_version=True,
        # One hop: containers cannot reach the node's credentials.
        metadata_options=ec2.LaunchTemplateMetadataOptionsArgs(
            http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
        ),
        block_device_mappings=[
            *([_disk(wanted.system_disk, None)] if wanted.system_disk else []),
            _disk(wanted.disk, wanted.disk_gb),
        ],
        user_data=base64.b64encode(wanted.user_data.encode()).decode() if wanted.user_data else None,
        tag_specifications=[
            ec2.LaunchTemplateTagSpecificationArgs(
                resource_type=kind,
                # Another tag here is another version of the template, and every node is started anew.
                tags=component.project_tags.lasting_tags(component.child(suffix))
                | {"Name": component.child("node")},
            )
            for kind in ("instance", "volume")
        ],
        tags=component.tags(suffix),
        opts=component.options(),
    )


def _disk(device: str, size_gb: int | None) -> ec2.LaunchTemplateBlockDeviceMappingArgs:
    """`size_gb` None: the image's own."""
    from pulumi_aws import ec2

    return ec2.LaunchTemplateBlockDeviceMappingArgs(
        device_name=device,
        ebs=ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
            volume_type="gp3",
            volume_size=size_gb,
            # Text, not a boolean: Terraform's type, which the bridge keeps.
            encrypted="true",
            delete_on_termination="true",
        ),
    )


def node_group(
    component: Component,
    wanted: NodesWanted,
    template: ec2.LaunchTemplate,
    cluster: Cluster,
    subnet_ids: pulumi.Input[Sequence[str]],
    after: Sequence[pulumi.Resource],
) -> eks.NodeGroup:
    """Below the component, under its name. Its nodes follow the cluster's version."""
    from pulumi_aws import eks

    role = cluster.resources.node_role
    more: dict[str, Any] = {"depends_on": [*role.ready, *after]}
    declared = wanted.count if wanted.desired is None else wanted.desired
    if declared is None:
        # An autoscaler's, or somebody's hand: neither is ours to undo.
        more["ignore_changes"] = ["scalingConfig.desiredSize"]
    taints = [eks.NodeGroupTaintArgs(key=wanted.taint, value="present", effect="NO_SCHEDULE")]
    return eks.NodeGroup(
        component.name,
        cluster_name=cluster.cluster_name,
        node_group_name=wanted.group_name,
        node_role_arn=role.arn,
        subnet_ids=subnet_ids,
        version=cluster.version,
        ami_type=wanted.image,
        instance_types=list(wanted.instances),
        capacity_type=wanted.capacity,
        scaling_config=eks.NodeGroupScalingConfigArgs(
            min_size=wanted.least,
            max_size=wanted.most,
            desired_size=wanted.least if declared is None else declared,
        ),
        launch_template=eks.NodeGroupLaunchTemplateArgs(
            id=template.id, version=pulumi.Output.from_input(template.latest_version).apply(str)
        ),
        labels=dict(wanted.labels),
        taints=taints if wanted.taint else None,
        tags=component.tags(),
        opts=component.options(**more),
    )
