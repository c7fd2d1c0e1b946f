"""What EKS refuses of clusters, nodes, add-ons and access entries; the EKS overlay does it, these rows tell it."""

from __future__ import annotations

from typing import Any, Literal

from infra.rehearsal.cloud.aws.refusals.row import ExampleCall, RefusalExample, RefusalRow

API = "https://docs.aws.amazon.com/eks/latest/APIReference/API_"
NETWORK = "https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html"
TRUST = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "eks.amazonaws.com"}, '
    '"Action": "sts:AssumeRole"}]}'
)


def _subnet(letter: str, number: int) -> ExampleCall:
    asked = {
        "VpcId": "$vpc",
        "CidrBlock": f"10.42.{number}.0/24",
        "AvailabilityZone": f"us-east-1{letter}",
    }
    return ExampleCall("ec2", "CreateSubnet", asked, {letter: "Subnet.SubnetId"})


GROUND = (
    ExampleCall("ec2", "CreateVpc", {"CidrBlock": "10.42.0.0/16"}, {"vpc": "Vpc.VpcId"}),
    *(_subnet(letter, number) for number, letter in enumerate("abce")),
    ExampleCall(
        "iam", "CreateRole", {"RoleName": "eks", "AssumeRolePolicyDocument": TRUST}, {"role": "Role.Arn"}
    ),
)
CLUSTER: dict[str, Any] = {
    "name": "shop",
    "version": "1.33",
    "roleArn": "$role",
    "resourcesVpcConfig": {"subnetIds": ["$a", "$b"]},
    "accessConfig": {"authenticationMode": "API"},
}
STANDING = (*GROUND, ExampleCall("eks", "CreateCluster", CLUSTER))
GROUP: dict[str, Any] = {
    "clusterName": "shop",
    "nodegroupName": "nodes",
    "subnets": ["$a", "$b"],
    "nodeRole": "$role",
}
WITH_NODES = (*STANDING, ExampleCall("eks", "CreateNodegroup", GROUP))
NODES_FOLLOW = {"clusterName": "shop", "nodegroupName": "nodes", "version": "1.33"}
ADDON = {"clusterName": "shop", "addonName": "vpc-cni"}
ENTRY = {"clusterName": "shop", "principalArn": "$role"}


def _subnets(*letters: str, **more: Any) -> dict[str, Any]:
    return {"resourcesVpcConfig": {"subnetIds": [f"${letter}" for letter in letters], **more}}


def _row(
    operation: str,
    when: str,
    code: str,
    words: str,
    refused: dict[str, Any],
    passes: dict[str, Any] | None,
    *,
    before: tuple[ExampleCall, ...] = STANDING,
    between: tuple[ExampleCall, ...] = (),
    source: str = "",
    label: Literal["documented", "recorded"] = "documented",
) -> RefusalRow:
    return RefusalRow(
        service="eks",
        operation=operation,
        when=when,
        code=code,
        words=words,
        source=source or f"{API}{operation}.html",
        label=label,
        example=RefusalExample(refused=refused, passes=passes, before=before, between=between),
    )


WRONG = "InvalidParameterException"
TERRAFORM = "https://github.com/hashicorp/terraform-provider-aws/issues/"
ROWS = (
    _row(
        "CreateCluster",
        "a subnet is in a zone without control planes (use1-az3, usw1-az2, cac1-az3)",
        "UnsupportedAvailabilityZoneException",
        "Cannot create cluster '{cluster}' because EKS does not support creating control plane instances in {zone}, "
        "the targeted availability zone. Retry cluster creation using control plane subnets that span at least two of "
        "these availability zones: {zones}",
        {**CLUSTER, **_subnets("a", "e")},
        CLUSTER,
        before=GROUND,
        source=NETWORK,
    ),
    _row(
        "CreateCluster",
        "its subnets are in one zone",
        WRONG,
        "Subnets specified must be in at least two different AZs",
        {**CLUSTER, **_subnets("a")},
        CLUSTER,
        before=GROUND,
        source=NETWORK,
    ),
    _row(
        "CreateCluster",
        "neither endpoint is on",
        WRONG,
        "Private and public endpoint access cannot be false",
        {**CLUSTER, **_subnets("a", "b", endpointPublicAccess=False, endpointPrivateAccess=False)},
        {**CLUSTER, **_subnets("a", "b", endpointPublicAccess=False, endpointPrivateAccess=True)},
        before=GROUND,
    ),
    _row(
        "CreateCluster",
        "the public endpoint is for private addresses",
        WRONG,
        "The following CIDRs are not allowed in publicAccessCidrs: [{cidr}]",
        {**CLUSTER, **_subnets("a", "b", publicAccessCidrs=["10.0.0.0/8"])},
        {**CLUSTER, **_subnets("a", "b", publicAccessCidrs=["203.0.113.0/24"])},
        before=GROUND,
    ),
    _row(
        "CreateCluster",
        "one of that name is there",
        "ResourceInUseException",
        "Cluster already exists with name: {name}",
        CLUSTER,
        {**CLUSTER, "name": "other"},
    ),
    _row(
        "UpdateClusterConfig",
        "its subnets leave the zones that it was made in, or go into others",
        WRONG,
        "Provided subnets belong to the AZs '{new}'. But they should belong to the exact set of AZs '{old}' in which "
        "subnets were provided during cluster creation.",
        {"name": "shop", **_subnets("a", "c")},
        {"name": "shop", **_subnets("b", "a")},
        source=NETWORK,
    ),
    _row(
        "UpdateClusterVersion",
        "it skips a minor version",
        WRONG,
        "Unsupported Kubernetes minor version update from {old} to {new}",
        {"name": "shop", "version": "1.35"},
        {"name": "shop", "version": "1.34"},
        source="https://docs.aws.amazon.com/eks/latest/userguide/update-cluster.html",
    ),
    _row(
        "UpdateClusterVersion",
        "a node group is behind the cluster",
        WRONG,
        "Nodegroups {groups} must be updated to match cluster version {version} before updating cluster version",
        {"name": "shop", "version": "1.34"},
        None,
        before=(*STANDING, ExampleCall("eks", "CreateNodegroup", {**GROUP, "version": "1.32"})),
        between=(ExampleCall("eks", "UpdateNodegroupVersion", NODES_FOLLOW),),
        source=f"{TERRAFORM}19478",
        label="recorded",
    ),
    _row(
        "CreateNodegroup",
        "its Kubernetes is newer than the cluster's",
        WRONG,
        "Requested Nodegroup version {version} is not valid for cluster version {cluster}",
        {**GROUP, "version": "1.34"},
        {**GROUP, "version": "1.33"},
        source="https://docs.aws.amazon.com/eks/latest/userguide/update-managed-node-group.html",
    ),
    _row(
        "CreateNodegroup",
        "an instance type does not exist",
        WRONG,
        "The following supplied instance types do not exist: [{types}]",
        {**GROUP, "instanceTypes": ["g99.xlarge"]},
        {**GROUP, "instanceTypes": ["g6.xlarge"]},
    ),
    _row(
        "UpdateNodegroupConfig",
        "it is to have fewer nodes than its minimum",
        WRONG,
        "Minimum capacity {least} can't be greater than desired size {wanted}",
        {
            "clusterName": "shop",
            "nodegroupName": "nodes",
            "scalingConfig": {"minSize": 2, "maxSize": 3, "desiredSize": 1},
        },
        {
            "clusterName": "shop",
            "nodegroupName": "nodes",
            "scalingConfig": {"minSize": 2, "maxSize": 3, "desiredSize": 2},
        },
        before=WITH_NODES,
    ),
    _row(
        "CreateAddon",
        "there is no such add-on",
        WRONG,
        "Addon {name} specified is not supported",
        {**ADDON, "addonName": "nvidia-device-plugin"},
        ADDON,
    ),
    _row(
        "CreateAddon",
        "its version is not for the cluster's Kubernetes",
        WRONG,
        "Addon version specified is not supported",
        {"clusterName": "shop", "addonName": "kube-proxy", "addonVersion": "v1.34.0-eksbuild.2"},
        {"clusterName": "shop", "addonName": "kube-proxy", "addonVersion": "v1.33.0-eksbuild.2"},
    ),
    _row(
        "CreateAddon",
        "it is there already",
        "ResourceInUseException",
        "Addon already exists.",
        ADDON,
        {**ADDON, "addonName": "kube-proxy"},
        before=(*STANDING, ExampleCall("eks", "CreateAddon", ADDON)),
    ),
    _row(
        "CreateAccessEntry",
        "the cluster reads a config map alone",
        "InvalidRequestException",
        "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to perform this operation.",
        ENTRY,
        {**ENTRY, "clusterName": "other"},
        before=(
            *STANDING[:-1],
            *(
                ExampleCall(
                    "eks",
                    "CreateCluster",
                    {**CLUSTER, "name": name, "accessConfig": {"authenticationMode": mode}},
                )
                for name, mode in (("shop", "CONFIG_MAP"), ("other", "API"))
            ),
        ),
    ),
    _row(
        "CreateAccessEntry",
        "the principal has one",
        "ResourceInUseException",
        "The specified access entry resource is already in use on this cluster.",
        ENTRY,
        None,
        before=(*STANDING, ExampleCall("eks", "CreateAccessEntry", ENTRY)),
        between=(ExampleCall("eks", "DeleteAccessEntry", ENTRY),),
    ),
    _row(
        "AssociateAccessPolicy",
        "the policy is none of EKS's",
        WRONG,
        "The policyArn parameter format is not valid",
        {
            **ENTRY,
            "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess",
            "accessScope": {"type": "cluster"},
        },
        {
            **ENTRY,
            "policyArn": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy",
            "accessScope": {"type": "cluster"},
        },
        before=(*STANDING, ExampleCall("eks", "CreateAccessEntry", ENTRY)),
    ),
)
