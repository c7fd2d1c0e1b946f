"""EKS's managed add-ons: what a cluster needs to run a pod, each in the version for its Kubernetes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi

from infra.component import Component, require
from infra.components.cluster import Cluster
from infra.components.role import NAME_LENGTH, ServiceRole
from infra.names import fit
from infra.tags import Tags

if TYPE_CHECKING:
    from pulumi_aws import eks

BEFORE_NODES = ("vpc-cni", "kube-proxy", "eks-pod-identity-agent")
"""On every node: a node is not ready without them."""
ON_NODES = ("coredns", "aws-ebs-csi-driver", "metrics-server", "eks-node-monitoring-agent")
"""Not active before there is a node to run on."""
NAMES = (*BEFORE_NODES, *ON_NODES)
"""https://docs.aws.amazon.com/eks/latest/userguide/workloads-add-ons-available-eks.html and community-addons.html"""
STORAGE, STORAGE_ACCOUNT = "aws-ebs-csi-driver", "ebs-csi-controller-sa"
STORAGE_POLICY = "service-role/AmazonEBSCSIDriverPolicy"


@dataclass(frozen=True, kw_only=True)
class AddonsResources:
    """What Addons is made of; `storage_role`: the EBS driver's, where it is among them."""

    addons: tuple[eks.Addon, ...]
    storage_role: ServiceRole | None


class Addons(Component):
    """`names` of EKS's add-ons, after `after`. `versions`: by name; without one EKS takes its default."""

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        cluster: Cluster,
        cluster_name: str,
        region: str,
        names: Sequence[str],
        versions: Mapping[str, str],
        after: Sequence[pulumi.Resource] = (),
        partition: str = "aws",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        require("Addons", {"names: each once": len(set(names)) != len(names)})
        super().__init__(name, project_tags=project_tags, opts=opts)
        role = self._storage_role(cluster_name, region, partition) if STORAGE in names else None
        made = tuple(self._addon(one, cluster, versions.get(one), role, after) for one in names)
        self.resources = AddonsResources(addons=made, storage_role=role)
        self.register_outputs({"addons": list(names)})

    def _storage_role(self, cluster: str, region: str, partition: str) -> ServiceRole:
        return ServiceRole(
            self.child("storage-role"),
            project_tags=self.project_tags,
            role_name=fit(f"{cluster}-{region}-storage", NAME_LENGTH),
            service="pods.eks.amazonaws.com",
            tags_sessions=True,
            managed=(STORAGE_POLICY,),
            partition=partition,
            opts=self.options(),
        )

    def _addon(
        self,
        addon: str,
        cluster: Cluster,
        version: str | None,
        role: ServiceRole | None,
        after: Sequence[pulumi.Resource],
    ) -> eks.Addon:
        from pulumi_aws import eks

        identities = None
        if addon == STORAGE and role is not None:
            after = (*after, *role.ready)
            identities = [
                eks.AddonPodIdentityAssociationArgs(role_arn=role.arn, service_account=STORAGE_ACCOUNT)
            ]
        return eks.Addon(
            self.child(addon),
            cluster_name=cluster.cluster_name,
            addon_name=addon,
            addon_version=version,
            # A new cluster has its own copies of the first three, which these take the place of.
            resolve_conflicts_on_create="OVERWRITE",
            resolve_conflicts_on_update="OVERWRITE",
            pod_identity_associations=identities,
            tags=self.tags(addon),
            opts=self.options(depends_on=list(after)),
        )
