"""What Karpenter's controller may do: the statements that Karpenter publishes, each for one cluster's things alone.

Source: https://karpenter.sh/docs/reference/cloudformation/, of 1.x: what it makes carries the cluster's tag and its
pool's, what it changes or ends must have them. It reads EC2's lists, prices, and the parameters that name images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.components.role import policy

Statement = dict[str, Any]
MADE = ("fleet", "instance", "volume", "network-interface", "launch-template", "spot-instances-request")
"""What comes with an order of nodes; each is tagged as it is made."""
USED = ("security-group", "subnet", "capacity-reservation")
ORDERS = ["ec2:RunInstances", "ec2:CreateFleet"]
READ = (
    *("CapacityReservations", "Images", "Instances", "InstanceTypeOfferings", "InstanceTypes"),
    *("LaunchTemplates", "SecurityGroups", "SpotPriceHistory", "Subnets"),
)
POOL, CLASS = "karpenter.sh/nodepool", "karpenter.k8s.aws/ec2nodeclass"
REGION = "topology.kubernetes.io/region"
NAME = "eks:eks-cluster-name"


@dataclass(frozen=True, kw_only=True)
class KarpenterPlace:
    """Whose controller it is, and where."""

    cluster: str
    region: str
    account: str
    partition: str = "aws"

    @property
    def owned(self) -> str:
        """The tag of what is this cluster's."""
        return f"kubernetes.io/cluster/{self.cluster}"

    def ec2(self, *kinds: str, account: str = "*") -> list[str]:
        return [f"arn:{self.partition}:ec2:{self.region}:{account}:{kind}/*" for kind in kinds]

    @property
    def profiles(self) -> str:
        return f"arn:{self.partition}:iam::{self.account}:instance-profile/*"


def list_policies(place: KarpenterPlace, node_role: str, queue: str) -> Mapping[str, str]:
    """Documents by name. `node_role` and `queue`: ARNs."""
    return {
        "nodes": policy(*list_node_rights(place)),
        "profiles": policy(*list_profile_rights(place, node_role)),
        "looks": policy(*list_looks(place, queue)),
    }


def may(actions: str | list[str], resources: str | list[str], **conditions: Any) -> Statement:
    """`conditions`: operators, _ for the colon in one."""
    condition = {"Condition": {key.replace("_", ":"): value for key, value in conditions.items()}}
    allowed = {"Effect": "Allow", "Action": actions, "Resource": resources}
    return {**allowed, **(condition if conditions else {})}


def list_node_rights(place: KarpenterPlace) -> list[Statement]:
    """Orders of nodes with what they are made of, their tags, and their end."""
    tagged = {f"aws:RequestTag/{place.owned}": "owned", f"aws:RequestTag/{NAME}": place.cluster}
    of_a_pool = {f"aws:RequestTag/{POOL}": "*"}
    ours = {"StringEquals": {f"aws:ResourceTag/{place.owned}": "owned"}}
    ours |= {"StringLike": {f"aws:ResourceTag/{POOL}": "*"}}
    creating: dict[str, str | list[str]] = {
        "ec2:CreateAction": [*(one.removeprefix("ec2:") for one in ORDERS), "CreateLaunchTemplate"]
    }
    renamed: Statement = {"StringEqualsIfExists": {f"aws:RequestTag/{NAME}": place.cluster}}
    renamed |= {"ForAllValues_StringEquals": {"aws:TagKeys": [NAME, "karpenter.sh/nodeclaim", "Name"]}}
    return [
        may(ORDERS, [*place.ec2("image", "snapshot", account=""), *place.ec2(*USED)]),
        may(ORDERS, place.ec2("launch-template"), **ours),
        may(
            [*ORDERS, "ec2:CreateLaunchTemplate"],
            place.ec2(*MADE),
            StringEquals=tagged,
            StringLike=of_a_pool,
        ),
        may("ec2:CreateTags", place.ec2(*MADE), StringEquals={**tagged, **creating}, StringLike=of_a_pool),
        may("ec2:CreateTags", place.ec2("instance"), **ours, **renamed),
        may(
            ["ec2:TerminateInstances", "ec2:DeleteLaunchTemplate"],
            place.ec2("instance", "launch-template"),
            **ours,
        ),
    ]


def list_profile_rights(place: KarpenterPlace, node_role: str) -> list[Statement]:
    """It makes the instance profile of the nodes' role, one for each node class."""
    where = {place.owned: "owned", REGION: place.region}
    asked = {f"aws:RequestTag/{key}": value for key, value in (where | {NAME: place.cluster}).items()}
    there = {f"aws:ResourceTag/{key}": value for key, value in where.items()}
    a_class = {f"aws:ResourceTag/{CLASS}": "*"}
    services = ["ec2.amazonaws.com", "ec2.amazonaws.com.cn"]
    return [
        may("iam:PassRole", node_role, StringEquals={"iam:PassedToService": services}),
        may(
            "iam:CreateInstanceProfile",
            place.profiles,
            StringEquals=asked,
            StringLike={f"aws:RequestTag/{CLASS}": "*"},
        ),
        may(
            "iam:TagInstanceProfile",
            place.profiles,
            StringEquals=asked | there,
            StringLike=a_class | {f"aws:RequestTag/{CLASS}": "*"},
        ),
        may(
            [f"iam:{one}InstanceProfile" for one in ("AddRoleTo", "RemoveRoleFrom", "Delete")],
            place.profiles,
            StringEquals=there,
            StringLike=a_class,
        ),
    ]


def list_looks(place: KarpenterPlace, queue: str) -> list[Statement]:
    """What it reads: the account's EC2, its cluster, its queue, prices, and the images that AWS names."""
    head = f"arn:{place.partition}"
    parameters = f"{head}:ssm:{place.region}::parameter/aws/service/*"
    cluster = f"{head}:eks:{place.region}:{place.account}:cluster/{place.cluster}"
    here = {"aws:RequestedRegion": place.region}
    return [
        may([f"ec2:Describe{one}" for one in READ], "*", StringEquals=here),
        may("ssm:GetParameter", parameters),
        may(["pricing:GetProducts", "iam:ListInstanceProfiles"], "*"),
        may("iam:GetInstanceProfile", place.profiles),
        may("eks:DescribeCluster", cluster),
        may([f"sqs:{one}" for one in ("DeleteMessage", "GetQueueUrl", "ReceiveMessage")], queue),
    ]
