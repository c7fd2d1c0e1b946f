"""Karpenter's side of AWS: roles of the controller and of its nodes, a queue of what EC2 is about to take away; on AWS
its chart, too. The local cloud runs Karpenter itself in the cluster that has its association."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pulumi

from infra.component import Component
from infra.components.cluster import NODE_POLICIES, Cluster
from infra.components.karpenter.rights import KarpenterPlace, list_policies
from infra.components.role import NAME_LENGTH, ServiceRole, policy
from infra.names import fit
from infra.tags import Tags

if TYPE_CHECKING:
    import pulumi_kubernetes
    from pulumi_aws import cloudwatch, eks, sqs

NAMESPACE: Final = "kube-system"
ACCOUNT: Final = "karpenter"
CHART, VERSION = "oci://public.ecr.aws/karpenter/karpenter", "1.14.1"
"""https://karpenter.sh/docs/getting-started/; the version of the core that the local cloud builds."""
SECONDS_KEPT = 300
RULE_LENGTH, QUEUE_LENGTH = 64, 80
EVENTS: Final[Mapping[str, tuple[str, str]]] = {
    "health": ("aws.health", "AWS Health Event"),
    "spot": ("aws.ec2", "EC2 Spot Instance Interruption Warning"),
    "rebalance": ("aws.ec2", "EC2 Instance Rebalance Recommendation"),
    "state": ("aws.ec2", "EC2 Instance State-change Notification"),
}
"""What the queue is told, by source and kind: https://karpenter.sh/docs/reference/cloudformation/"""


@dataclass(frozen=True, kw_only=True)
class KarpenterResources:
    """What a Karpenter is made of; `chart` None where the local cloud runs it."""

    role: ServiceRole
    node_role: ServiceRole
    node_entry: eks.AccessEntry
    association: eks.PodIdentityAssociation
    queue: sqs.Queue
    queue_policy: sqs.QueuePolicy
    rules: tuple[cloudwatch.EventRule, ...]
    targets: tuple[cloudwatch.EventTarget, ...]
    chart: pulumi_kubernetes.helm.v3.Release | None


class Karpenter(Component):
    """`ready`: what must be there before a pool. `kubernetes`: a provider of the cluster's own outputs; `after`: the
    nodes that the controller itself runs on; `local`: no chart."""

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        cluster: Cluster,
        place: KarpenterPlace,
        kubernetes: pulumi.ProviderResource,
        local: bool,
        after: tuple[pulumi.Resource, ...] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(name, project_tags=project_tags, opts=opts)
        self._cluster, self._place = cluster, place
        node_role = self._node_role()
        queue, queue_policy = self._queue()
        role = self._role(node_role, queue)
        association = self._association(role)
        rules = {word: self._rule(word, *event) for word, event in EVENTS.items()}
        needed = (association, *role.ready, *after)
        self.resources = KarpenterResources(
            role=role,
            node_role=node_role,
            node_entry=self._entry(node_role),
            association=association,
            queue=queue,
            queue_policy=queue_policy,
            rules=tuple(rules.values()),
            targets=tuple(self._target(word, rule, queue) for word, rule in rules.items()),
            chart=None if local else self._chart(queue, kubernetes, needed),
        )
        made = self.resources
        self.ready: tuple[pulumi.Resource, ...] = (
            *needed,
            made.node_entry,
            *node_role.ready,
            *([made.chart] if made.chart else []),
        )
        self.register_outputs({"queue": queue.name, "node_role": node_role.arn})

    def _join(self, *words: str) -> str:
        return "-".join((self._place.cluster, *words))

    def _role(self, node_role: ServiceRole, queue: sqs.Queue) -> ServiceRole:
        place = self._place
        policies = pulumi.Output.all(node_role.arn, queue.arn).apply(lambda arns: list_policies(place, *arns))
        return ServiceRole(
            self.child("role"),
            project_tags=self.project_tags,
            role_name=fit(self._join(place.region, "karpenter"), NAME_LENGTH),
            service="pods.eks.amazonaws.com",
            tags_sessions=True,
            inline={name: policies[name] for name in ("nodes", "profiles", "looks")},
            partition=place.partition,
            opts=self.options(),
        )

    def _node_role(self) -> ServiceRole:
        """Not that of the node groups, whose entry EKS itself makes, and takes away with the last of them."""
        return ServiceRole(
            self.child("node-role"),
            project_tags=self.project_tags,
            role_name=fit(self._join(self._place.region, "karpenter-node"), NAME_LENGTH),
            service="ec2.amazonaws.com",
            managed=NODE_POLICIES,
            partition=self._place.partition,
            opts=self.options(),
        )

    def _entry(self, node_role: ServiceRole) -> eks.AccessEntry:
        from pulumi_aws import eks

        return eks.AccessEntry(
            self.child("nodes"),
            cluster_name=self._cluster.cluster_name,
            principal_arn=node_role.arn,
            type="EC2_LINUX",
            tags=self.tags("nodes"),
            opts=self.options(),
        )

    def _association(self, role: ServiceRole) -> eks.PodIdentityAssociation:
        from pulumi_aws import eks

        return eks.PodIdentityAssociation(
            self.child("association"),
            cluster_name=self._cluster.cluster_name,
            namespace=NAMESPACE,
            service_account=ACCOUNT,
            role_arn=role.arn,
            tags=self.tags("association"),
            opts=self.options(depends_on=list(role.ready)),
        )

    def _queue(self) -> tuple[sqs.Queue, sqs.QueuePolicy]:
        from pulumi_aws import sqs

        queue = sqs.Queue(
            self.child("queue"),
            name=fit(self._join("karpenter"), QUEUE_LENGTH),
            message_retention_seconds=SECONDS_KEPT,
            sqs_managed_sse_enabled=True,
            tags=self.tags("queue"),
            opts=self.options(),
        )
        told = sqs.QueuePolicy(
            self.child("queue"),
            queue_url=queue.url,
            policy=queue.arn.apply(write_queue_policy),
            opts=self.options(),
        )
        return queue, told

    def _rule(self, word: str, source: str, kind: str) -> cloudwatch.EventRule:
        from pulumi_aws import cloudwatch

        return cloudwatch.EventRule(
            self.child(word),
            name=fit(self._join("karpenter", word), RULE_LENGTH),
            description=f"Karpenter of {self._place.cluster} is told: {kind}",
            event_pattern=json.dumps({"source": [source], "detail-type": [kind]}),
            tags=self.tags(word),
            opts=self.options(),
        )

    def _target(self, word: str, rule: cloudwatch.EventRule, queue: sqs.Queue) -> cloudwatch.EventTarget:
        from pulumi_aws import cloudwatch

        return cloudwatch.EventTarget(
            self.child(word), rule=rule.name, target_id=ACCOUNT, arn=queue.arn, opts=self.options()
        )

    def _chart(
        self, queue: sqs.Queue, kubernetes: pulumi.ProviderResource, after: tuple[pulumi.Resource, ...]
    ) -> pulumi_kubernetes.helm.v3.Release:
        from pulumi_kubernetes.helm import v3

        return v3.Release(
            self.child("chart"),
            v3.ReleaseArgs(
                name=ACCOUNT,
                chart=CHART,
                version=VERSION,
                namespace=NAMESPACE,
                values={"settings": {"clusterName": self._place.cluster, "interruptionQueue": queue.name}},
            ),
            opts=self.options(provider=kubernetes, depends_on=list(after)),
        )


def write_queue_policy(queue: str) -> str:
    """EventBridge may send, and nobody may without TLS."""
    send = {
        "Effect": "Allow",
        "Principal": {"Service": ["events.amazonaws.com", "sqs.amazonaws.com"]},
        "Action": "sqs:SendMessage",
        "Resource": queue,
    }
    bare = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": queue,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return policy(send, bare)
