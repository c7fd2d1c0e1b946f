"""An EKS cluster: secrets under KMS, every control-plane log, access by entries instead of a config map."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi

from infra.component import Component, require
from infra.components.role import ServiceRole
from infra.tags import Tags

if TYPE_CHECKING:
    from pulumi_aws import eks

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
VERSION = re.compile(r"1\.\d\d")
LOGS = ("api", "audit", "authenticator", "controllerManager", "scheduler")
NODE_POLICIES = (
    "AmazonEKSWorkerNodePolicy",
    "AmazonEKS_CNI_Policy",
    "AmazonEC2ContainerRegistryPullOnly",
    "AmazonSSMManagedInstanceCore",
)
"""https://docs.aws.amazon.com/eks/latest/userguide/create-node-role.html; the last: sessions without SSH."""


@dataclass(frozen=True, kw_only=True)
class ClusterResources:
    """What a Cluster is made of; `node_role` is shared by all its node groups."""

    cluster: eks.Cluster
    role: ServiceRole
    node_role: ServiceRole


class Cluster(Component):
    """`public_cidrs`: from where the public endpoint may be reached; empty: the private endpoint only.

    Nodes come from node groups such as `GpuPool`; add-ons and the nodes that carry them are not part of this.
    """

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        cluster_name: str,
        version: str,
        subnet_ids: pulumi.Input[Sequence[str]],
        security_group_ids: Sequence[pulumi.Input[str]] = (),
        key_arn: pulumi.Input[str],
        public_cidrs: Sequence[str] = ("0.0.0.0/0",),
        partition: str = "aws",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        require(
            "Cluster",
            {
                f"cluster_name: letters, digits, - _, got {cluster_name!r}": not NAME.fullmatch(cluster_name),
                f'version: expected a Kubernetes version like "1.34", got {version!r}': not VERSION.fullmatch(
                    version
                ),
            },
        )
        super().__init__(name, project_tags=project_tags, opts=opts)
        role, node_role = self._roles(cluster_name, partition)
        cluster = self._cluster(
            cluster_name, version, subnet_ids, security_group_ids, key_arn, public_cidrs, role
        )
        self.resources = ClusterResources(cluster=cluster, role=role, node_role=node_role)
        self.cluster_name: pulumi.Output[str] = cluster.name
        self.register_outputs({"cluster": cluster.name, "endpoint": cluster.endpoint})

    def _roles(self, cluster_name: str, partition: str) -> tuple[ServiceRole, ServiceRole]:
        role = ServiceRole(
            self.child("role"),
            project_tags=self.project_tags,
            role_name=f"{cluster_name[:50]}-cluster",
            service="eks.amazonaws.com",
            managed=("AmazonEKSClusterPolicy",),
            partition=partition,
            opts=self.options(),
        )
        node_role = ServiceRole(
            self.child("node-role"),
            project_tags=self.project_tags,
            role_name=f"{cluster_name[:50]}-node",
            service="ec2.amazonaws.com",
            managed=NODE_POLICIES,
            partition=partition,
            opts=self.options(),
        )
        return role, node_role

    def _cluster(
        self,
        cluster_name: str,
        version: str,
        subnet_ids: pulumi.Input[Sequence[str]],
        security_group_ids: Sequence[pulumi.Input[str]],
        key_arn: pulumi.Input[str],
        public_cidrs: Sequence[str],
        role: ServiceRole,
    ) -> eks.Cluster:
        from pulumi_aws import eks

        return eks.Cluster(
            self.name,
            name=cluster_name,
            version=version,
            role_arn=role.arn,
            vpc_config=eks.ClusterVpcConfigArgs(
                subnet_ids=subnet_ids,
                security_group_ids=list(security_group_ids),
                endpoint_private_access=True,
                endpoint_public_access=bool(public_cidrs),
                public_access_cidrs=list(public_cidrs) or None,
            ),
            encryption_config=eks.ClusterEncryptionConfigArgs(
                provider=eks.ClusterEncryptionConfigProviderArgs(key_arn=key_arn), resources=["secrets"]
            ),
            access_config=eks.ClusterAccessConfigArgs(
                authentication_mode="API", bootstrap_cluster_creator_admin_permissions=True
            ),
            enabled_cluster_log_types=list(LOGS),
            tags=self.tags(),
            # Without the policy EKS cannot take its network interfaces back when the cluster goes.
            opts=self.options(depends_on=list(role.ready)),
        )
