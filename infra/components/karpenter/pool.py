"""A pool of nodes that Karpenter brings for pods that wait: a NodePool, and on AWS the EC2NodeClass of its machines.

https://karpenter.sh/docs/concepts/nodepools/ and .../nodeclasses/; both of 1.x.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pulumi

from infra.component import Component, require
from infra.components.gpu_pool import check, want_nodes
from infra.components.karpenter.controller import Karpenter
from infra.gpu_nodes import IMAGES, RESOURCE, find_known, user_data
from infra.spec import GpuPoolSpec
from infra.tags import Tags

if TYPE_CHECKING:
    import pulumi_kubernetes

LOCAL_CLASS: Final = {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"}
"""What stands for an EC2NodeClass on the local cloud, whose machines are pretended."""
GROUP, CLASS = "karpenter.k8s.aws", "EC2NodeClass"
SYSTEM_DISK = "4Gi"
LABELS: Final = {"app.kubernetes.io/managed-by": "ecomdeploy"}
BUDGETS: Final = ({"nodes": "100%", "reasons": ["Empty"]}, {"nodes": "1", "reasons": ["Drifted"]})
"""Empty nodes may all go at once; those of another image or another class are replaced one by one."""


@dataclass(frozen=True, kw_only=True)
class KarpenterPoolResources:
    """What a KarpenterPool is made of; `node_class` None on the local cloud."""

    node_pool: pulumi_kubernetes.apiextensions.CustomResource
    node_class: pulumi_kubernetes.apiextensions.CustomResource | None


class KarpenterPool(Component):
    """`pool.max` nodes at most; spot machines first where it is of spot, then on demand. With the pool its nodes go,
    once their pods have.

    `subnet_ids` and `security_group`: where its machines are; `local`: they are pretended.
    """

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        pool: GpuPoolSpec,
        karpenter: Karpenter,
        kubernetes: pulumi.ProviderResource,
        subnet_ids: pulumi.Input[Sequence[str]],
        security_group: pulumi.Input[str],
        local: bool,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        check(pool)
        require(f"KarpenterPool {pool.name}", {"min: Karpenter has no least number of nodes": pool.min > 0})
        super().__init__(name, project_tags=project_tags, opts=opts)
        self._kubernetes, self._karpenter = kubernetes, karpenter
        tags = project_tags.lasting_tags(self.child("node")) | {"Name": self.child("node")}
        machines = None
        if not local:
            role = karpenter.resources.node_role.resources.role.name
            spec = describe_machines(pool, role, subnet_ids, security_group, tags)
            machines = self._object("class", f"{GROUP}/v1", CLASS, pool.name, spec, ())
        named = LOCAL_CLASS if local else {"group": GROUP, "kind": CLASS, "name": pool.name}
        wanted = describe_pool(pool, named)
        nodes = self._object(
            "pool", "karpenter.sh/v1", "NodePool", pool.name, wanted, (machines,) if machines else ()
        )
        self.resources = KarpenterPoolResources(node_pool=nodes, node_class=machines)
        self.register_outputs({"node_pool": pool.name})

    def _object(
        self,
        suffix: str,
        version: str,
        kind: str,
        name: str,
        spec: Mapping[str, Any],
        after: tuple[pulumi.Resource, ...],
    ) -> pulumi_kubernetes.apiextensions.CustomResource:
        from pulumi_kubernetes.apiextensions import CustomResource

        return CustomResource(
            self.child(suffix),
            api_version=version,
            kind=kind,
            metadata={"name": name, "labels": dict(LABELS)},
            spec=dict(spec),
            opts=self.options(provider=self._kubernetes, depends_on=[*self._karpenter.ready, *after]),
        )


def describe_pool(pool: GpuPoolSpec, machines: Mapping[str, str]) -> dict[str, Any]:
    """A NodePool's spec; `machines`: its nodeClassRef."""
    capacity = ["spot", "on-demand"] if pool.capacity == "spot" else ["on-demand"]
    asked = {
        "node.kubernetes.io/instance-type": list(pool.instances),
        "karpenter.sh/capacity-type": capacity,
    }
    return {
        "limits": {RESOURCE: str(count_gpus(pool))},
        "disruption": {
            "consolidationPolicy": "WhenEmpty",
            "consolidateAfter": f"{pool.idle_minutes}m",
            "budgets": [dict(one) for one in BUDGETS],
        },
        "template": {
            "metadata": {"labels": dict(want_nodes(pool).labels)},
            "spec": {
                "nodeClassRef": dict(machines),
                "requirements": [
                    {"key": key, "operator": "In", "values": values} for key, values in asked.items()
                ],
                "taints": [{"key": RESOURCE, "value": "present", "effect": "NoSchedule"}],
            },
        },
    }


def count_gpus(pool: GpuPoolSpec) -> int:
    """So many that never more than `pool.max` nodes fit: Karpenter (1.14) holds a limit of GPUs, and overruns one of
    nodes by what it orders at once."""
    counts = [found.gpu.count for _, found in find_known(pool.instances) if found.gpu]
    return pool.max * min(counts, default=1)


def describe_machines(
    pool: GpuPoolSpec,
    role: pulumi.Input[str],
    subnet_ids: pulumi.Input[Sequence[str]],
    security_group: pulumi.Input[str],
    tags: Mapping[str, str],
) -> dict[str, Any]:
    """An EC2NodeClass's spec: what a launch template says of a node group's machines."""
    image, settings = IMAGES[pool.image], user_data(pool.sharing, pool.instances)
    disks = [(image.system_disk, SYSTEM_DISK)] if image.system_disk else []
    disks.append((image.disk, f"{pool.disk_gb}Gi"))
    return {
        "amiSelectorTerms": [{"alias": f"{pool.image}@latest"}],
        "role": role,
        "subnetSelectorTerms": pulumi.Output.from_input(subnet_ids).apply(
            lambda ids: [{"id": one} for one in ids]
        ),
        "securityGroupSelectorTerms": [{"id": security_group}],
        # One hop: containers cannot reach the node's credentials.
        "metadataOptions": {
            "httpEndpoint": "enabled",
            "httpTokens": "required",
            "httpPutResponseHopLimit": 1,
        },
        "blockDeviceMappings": [
            {
                "deviceName": device,
                "ebs": {
                    "volumeSize": size,
                    "volumeType": "gp3",
                    "encrypted": True,
                    "deleteOnTermination": True,
                },
            }
            for device, size in disks
        ],
        "tags": dict(tags),
        **({"userData": settings} if settings else {}),
    }
