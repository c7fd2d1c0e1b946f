"""The nodes that a managed node group asks for, as Kubernetes has them: pure functions of what EKS and EC2 hold.

Labels: https://docs.aws.amazon.com/eks/latest/userguide/managed-node-groups.html and
https://kubernetes.io/docs/reference/labels-annotations-taints/; what EKS keeps of a machine for itself:
https://github.com/awslabs/amazon-eks-ami (nodeadm, kubelet's kubeReserved).
"""

from __future__ import annotations

import base64
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra import instances
from infra.rehearsal.cloud.aws import eks_state
from infra.rehearsal.cloud.aws.eks_nodes.ground import Object

GROUP, VERSION = "eks.amazonaws.com/nodegroup", "eks.amazonaws.com/sourceLaunchTemplateVersion"
AGENT = {"ecomdeploy.dev/agent": "local"}
"""What the node agent takes over (kubernetes/node_agent/nodes.py)."""
EFFECTS = {
    "NO_SCHEDULE": "NoSchedule",
    "NO_EXECUTE": "NoExecute",
    "PREFER_NO_SCHEDULE": "PreferNoSchedule",
}
GPU = "nvidia.com/gpu"
PODS = 110
NO_TOML = "User data was not a TOML format that could be processed"


class BadMachine(Exception):
    """No machine boots as the group asks; an issue's code and EKS's words."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A node that is wanted. `instance`: its EC2 type."""

    name: str
    group: str
    instance: str
    node: Object


def machines(region: str, fields: Mapping[str, Any]) -> list[Machine]:
    """As many as a node group is to have, over its zones in turn. Raises BadMachine, ApiError."""
    zones = sorted({subnet.availability_zone for subnet in eks_state.subnets(region, fields["subnets"])})
    count = fields["scalingConfig"]["desiredSize"]
    found = []
    for number in range(1, count + 1):
        instance = fields["instanceTypes"][0]
        name = f"{re.sub('[^a-z0-9-]', '-', fields['nodegroupName'].lower()).strip('-')}-{number}"
        zone = zones[(number - 1) % len(zones)]
        node = _node(name, region, zone, instance, fields)
        found.append(Machine(name=name, group=fields["nodegroupName"], instance=instance, node=node))
    return found


def labels_of(fields: Mapping[str, Any]) -> dict[str, str]:
    """A group's own labels, and EKS's of the group."""
    template = fields.get("launchTemplate") or {}
    return {
        **fields["labels"],
        GROUP: fields["nodegroupName"],
        "eks.amazonaws.com/capacityType": fields["capacityType"],
        "eks.amazonaws.com/nodegroup-image": fields["amiType"],
        VERSION: str(template.get("version", "")),
    }


def taints_of(fields: Mapping[str, Any]) -> list[Object]:
    """A group's taints in Kubernetes' words."""
    return [
        {"key": one["key"], "effect": EFFECTS[one["effect"]]}
        | ({"value": one["value"]} if one.get("value") else {})
        for one in fields["taints"]
    ]


def _node(name: str, region: str, zone: str, instance: str, fields: Mapping[str, Any]) -> Object:
    own = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "node.kubernetes.io/instance-type": instance,
        "topology.kubernetes.io/region": region,
        "topology.kubernetes.io/zone": zone,
        **AGENT,
    }
    capacity, allocatable = room(region, instance, fields)
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {**labels_of(fields), **own}},
        "spec": {"taints": taints_of(fields), "providerID": f"aws:///{zone}/{name}"},
        "status": {"capacity": capacity, "allocatable": allocatable},
    }


def room(region: str, instance: str, fields: Mapping[str, Any]) -> tuple[Object, Object]:
    """Capacity, and what is left of it for pods, of one machine of the group."""
    cpus, memory = size(instance)
    # kubelet's share: 6 % of the first core, 1 % of the second, 0.5 % of the next two, 0.25 % of the rest
    kept = 60 + 10 * (cpus > 1) + 5 * min(2, max(0, cpus - 2)) + 2.5 * max(0, cpus - 4)
    rest = memory - (255 + 11 * PODS + 100)
    disk = {"pods": str(PODS), "ephemeral-storage": "100Gi"} | gpus_of(region, instance, fields)
    return (
        {"cpu": str(cpus), "memory": f"{memory}Mi", **disk},
        {"cpu": f"{1000 * cpus - round(kept)}m", "memory": f"{rest}Mi", **disk},
    )


def size(instance: str) -> tuple[int, int]:
    """vCPUs and MiB of an EC2 type."""
    if found := instances.nodes().get(instance):
        return found.vcpus, found.memory_mib
    from moto.ec2.models.instance_types import INSTANCE_TYPES

    told = INSTANCE_TYPES[instance]
    return int(told["VCpuInfo"]["DefaultVCpus"]), int(told["MemoryInfo"]["SizeInMiB"])


def gpus_of(region: str, instance: str, fields: Mapping[str, Any]) -> dict[str, str]:
    """What a device plugin of the image tells of the machine's GPUs. Amazon Linux has none: nothing is told.

    Sharing is what the launch template's user data says, as Bottlerocket reads it:
    https://bottlerocket.dev/en/os/1.54.x/api/settings/kubelet-device-plugins
    """
    image = fields["amiType"]
    if not image.startswith("BOTTLEROCKET_"):
        return {}
    told = settings(region, fields.get("launchTemplate"))
    found = instances.nodes().get(instance)
    if found is None or found.gpu is None or not image.removesuffix("_FIPS").endswith("_NVIDIA"):
        return {}
    plugin = told.get("kubelet-device-plugins", {}).get("nvidia", {})
    count, name = found.gpu.count, GPU
    if plugin.get("device-partitioning-strategy") == "mig":
        profile = str(next(iter(plugin.get("mig", {}).get("profile", {}).values()), "1"))
        count *= int(profile) if profile.isdigit() else 7 // int(profile.partition("g.")[0])
    sharing = plugin.get("device-sharing-strategy", "none")
    if sharing != "none":
        of = plugin.get(sharing, {})
        count *= int(of.get("replicas", 1))
        name = f"{GPU}.shared" if of.get("rename-by-default", sharing == "time-slicing") else GPU
    return {name: str(count)}


def settings(region: str, template: Mapping[str, Any] | None) -> dict[str, Any]:
    """Bottlerocket's settings in a launch template's user data. Raises BadMachine where they are no TOML."""
    if not template:
        return {}
    found = eks_state.ec2(region).launch_templates[template["id"]].get_version(template["version"])
    if not found.data.get("UserData"):
        return {}
    try:
        text = base64.b64decode(str(found.data["UserData"])).decode()
        return dict(tomllib.loads(text).get("settings", {}))
    except ValueError:
        raise BadMachine("Ec2LaunchTemplateInvalidConfiguration", NO_TOML) from None
