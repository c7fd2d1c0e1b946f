"""An EKS cluster: secrets under KMS, every control-plane log for a while, access by entries, not a config map."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Literal

import pulumi

from infra.component import Component, require
from infra.components.role import NAME_LENGTH, ServiceRole
from infra.names import fit
from infra.tags import Tags

if TYPE_CHECKING:
    from pulumi_aws import cloudwatch, eks

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
VERSION = re.compile(r"1\.\d\d")
LOGS = ("api", "audit", "authenticator", "controllerManager", "scheduler")
PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
NODE_POLICIES = (
    "AmazonEKSWorkerNodePolicy",
    "AmazonEKS_CNI_Policy",
    "AmazonEC2ContainerRegistryPullOnly",
    "AmazonSSMManagedInstanceCore",
)
"""https://docs.aws.amazon.com/eks/latest/userguide/create-node-role.html; the last: sessions without SSH."""


@dataclass(frozen=True, kw_only=True)
class ClusterResources:
    """What a Cluster is made of; `node_role` is shared by all its node groups, `logs` None where they are not ours."""

    cluster: eks.Cluster
    role: ServiceRole
    node_role: ServiceRole
    logs: cloudwatch.LogGroup | None


class Cluster(Component):
    """`public_cidrs`: from where the public endpoint may be reached; empty: the private endpoint only.

    `region` goes into the names of roles, which all regions share; "": roles as earlier releases named
    them. `log_days` None: EKS makes the log group, and keeps what is in it for ever. `support`: EKS takes the cluster
    to the next version when standard support ends, or asks for more ("EXTENDED"). Nodes come from `SystemNodes` and
    `GpuPool`, what every node runs from `Addons`.
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
        public_cidrs: Sequence[str] = (),
        support: Literal["STANDARD", "EXTENDED"] = "STANDARD",
        region: str = "",
        log_days: int | None = None,
        partition: str = "aws",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        check(cluster_name, version, public_cidrs)
        super().__init__(name, project_tags=project_tags, opts=opts)
        self.version = version
        role = self._role(cluster_name, region, "cluster", "eks", ("AmazonEKSClusterPolicy",), partition)
        node_role = self._role(cluster_name, region, "node", "ec2", NODE_POLICIES, partition)
        logs = self._logs(cluster_name, log_days) if log_days else None
        cluster = self._cluster(
            cluster_name, subnet_ids, security_group_ids, key_arn, public_cidrs, support, role, logs
        )
        self.resources = ClusterResources(cluster=cluster, role=role, node_role=node_role, logs=logs)
        self.cluster_name: pulumi.Output[str] = cluster.name
        self.register_outputs({"cluster": cluster.name, "endpoint": cluster.endpoint})

    def _role(
        self, cluster: str, region: str, word: str, service: str, managed: Sequence[str], partition: str
    ) -> ServiceRole:
        plain = f"{cluster[:50]}-{word}"
        return ServiceRole(
            self.child("role" if word == "cluster" else f"{word}-role"),
            project_tags=self.project_tags,
            role_name=fit(f"{cluster}-{region}-{word}", NAME_LENGTH) if region else plain,
            service=f"{service}.amazonaws.com",
            managed=managed,
            partition=partition,
            opts=self.options(),
        )

    def _logs(self, cluster: str, days: int) -> cloudwatch.LogGroup:
        """Where EKS writes; it makes the group itself, for ever, where there is none."""
        from pulumi_aws import cloudwatch

        return cloudwatch.LogGroup(
            self.child("logs"),
            name=f"/aws/eks/{cluster}/cluster",
            retention_in_days=days,
            tags=self.tags("logs"),
            opts=self.options(),
        )

    def _cluster(
        self,
        cluster_name: str,
        subnet_ids: pulumi.Input[Sequence[str]],
        security_group_ids: Sequence[pulumi.Input[str]],
        key_arn: pulumi.Input[str],
        public_cidrs: Sequence[str],
        support: str,
        role: ServiceRole,
        logs: cloudwatch.LogGroup | None,
    ) -> eks.Cluster:
        from pulumi_aws import eks

        return eks.Cluster(
            self.name,
            name=cluster_name,
            version=self.version,
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
            upgrade_policy=eks.ClusterUpgradePolicyArgs(support_type=support),
            enabled_cluster_log_types=list(LOGS),
            tags=self.tags(),
            # Without the policy EKS cannot take its network interfaces back when the cluster goes.
            opts=self.options(depends_on=[*role.ready, *([logs] if logs else [])]),
        )


def check(cluster_name: str, version: str, public_cidrs: Sequence[str]) -> None:
    """EKS's own rules of names and versions; the internet as a whole is nobody's named network."""
    require(
        "Cluster",
        {
            f"cluster_name: letters, digits, - _, got {cluster_name!r}": not NAME.fullmatch(cluster_name),
            f'version: expected a Kubernetes version like "1.35", got {version!r}': not VERSION.fullmatch(
                version
            ),
            **{f"public_cidrs: {why}": True for why in map(open_to, public_cidrs) if why},
        },
    )


def open_to(cidr: str) -> str:
    """Why EKS, or we, would not take it; "" where it may reach the public endpoint."""
    try:
        network = IPv4Network(cidr)
    except ValueError:
        return f'expected an IPv4 network like "203.0.113.0/24", got {cidr!r}'
    if network.prefixlen == 0:
        return f"{cidr} is the whole internet: name the networks, or leave it out for a private endpoint"
    private = any(network.subnet_of(IPv4Network(one)) for one in PRIVATE)
    return f"{cidr} is private: it reaches the private endpoint, which is always there" if private else ""
