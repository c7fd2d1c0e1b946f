"""Who may use a cluster: access entries with EKS's own policies, instead of a config map in the cluster."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi

from infra.component import Component, require
from infra.components.cluster import Cluster
from infra.spec import AccessSpec
from infra.tags import Tags

if TYPE_CHECKING:
    from pulumi_aws import eks

PRINCIPAL = re.compile(r"arn:(aws[\w-]*):iam::\d{12}:(user|role)/[\w+=,.@/-]+")
POLICIES = {
    "admin": "AmazonEKSClusterAdminPolicy",
    "edit": "AmazonEKSEditPolicy",
    "view": "AmazonEKSViewPolicy",
}
"""https://docs.aws.amazon.com/eks/latest/userguide/access-policy-permissions.html"""


@dataclass(frozen=True, kw_only=True)
class ClusterAccessResources:
    """What a ClusterAccess is made of, in the order of the principals."""

    entries: tuple[eks.AccessEntry, ...]
    policies: tuple[eks.AccessPolicyAssociation, ...]


class ClusterAccess(Component):
    """Each principal in the whole cluster. Whoever made the cluster is its administrator without an entry."""

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        cluster: Cluster,
        access: Sequence[AccessSpec],
        partition: str = "aws",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        principals = [one.principal for one in access]
        require(
            "ClusterAccess",
            {
                **{
                    f"access: expected the ARN of an IAM user or role, got {one!r}": not PRINCIPAL.fullmatch(
                        one
                    )
                    for one in principals
                },
                "access: each principal once": len(set(principals)) != len(principals),
            },
        )
        super().__init__(name, project_tags=project_tags, opts=opts)
        pairs = tuple(self._grant(cluster, one, partition) for one in access)
        self.resources = ClusterAccessResources(
            entries=tuple(entry for entry, _ in pairs), policies=tuple(policy for _, policy in pairs)
        )
        self.register_outputs({})

    def _grant(
        self, cluster: Cluster, one: AccessSpec, partition: str
    ) -> tuple[eks.AccessEntry, eks.AccessPolicyAssociation]:
        from pulumi_aws import eks

        who = one.principal.rpartition("/")[2]
        suffix = f"{who}-{hashlib.sha256(one.principal.encode()).hexdigest()[:6]}"
        entry = eks.AccessEntry(
            self.child(suffix),
            cluster_name=cluster.cluster_name,
            principal_arn=one.principal,
            tags=self.tags(suffix),
            opts=self.options(),
        )
        policy = eks.AccessPolicyAssociation(
            self.child(suffix),
            cluster_name=cluster.cluster_name,
            principal_arn=entry.principal_arn,
            policy_arn=f"arn:{partition}:eks::aws:cluster-access-policy/{POLICIES[one.policy]}",
            access_scope=eks.AccessPolicyAssociationAccessScopeArgs(type="cluster"),
            opts=self.options(),
        )
        return entry, policy
