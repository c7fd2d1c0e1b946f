"""An ARN as Pulumi's type and the inputs that name the thing (Service Authorization Reference, "Resource types")."""

from __future__ import annotations

from typing import Any

EC2 = {
    "vpc": "vpc:Vpc",
    "subnet": "subnet:Subnet",
    "internet-gateway": "internetGateway:InternetGateway",
    "elastic-ip": "eip:Eip",
    "natgateway": "natGateway:NatGateway",
    "route-table": "routeTable:RouteTable",
    "security-group": "securityGroup:SecurityGroup",
    "vpc-endpoint": "vpcEndpoint:VpcEndpoint",
    "vpc-flow-log": "flowLog:FlowLog",
    "launch-template": "launchTemplate:LaunchTemplate",
}
NAMED = {
    ("ecr", "repository"): ("aws:ecr/repository:Repository", "name"),
    ("kms", "key"): ("aws:kms/key:Key", "keyId"),
    ("budgets", "budget"): ("aws:budgets/budget:Budget", "name"),
    ("iam", "oidc-provider"): ("aws:iam/openIdConnectProvider:OpenIdConnectProvider", "url"),
    ("iam", "role"): ("aws:iam/role:Role", "name"),
    ("eks", "cluster"): ("aws:eks/cluster:Cluster", "name"),
    ("sagemaker", "model"): ("aws:sagemaker/model:Model", "name"),
    ("sagemaker", "endpoint"): ("aws:sagemaker/endpoint:Endpoint", "name"),
    ("sagemaker", "endpoint-config"): ("aws:sagemaker/endpointConfiguration:EndpointConfiguration", "name"),
    ("events", "rule"): ("aws:cloudwatch/eventRule:EventRule", "name"),
    ("cloudwatch", "alarm"): ("aws:cloudwatch/metricAlarm:MetricAlarm", "name"),
    **{("ec2", kind): (f"aws:ec2/{token}", "id") for kind, token in EC2.items()},
}
OF_ANOTHER = frozenset(
    {
        *(("ec2", "instance"), ("ec2", "volume"), ("ec2", "network-interface")),
        ("ec2", "security-group-rule"),
        ("application-autoscaling", "scalable-target"),
        *(("eks", "access-entry"), ("eks", "podidentityassociation")),
    }
)
"""What carries the tags and goes with its owner: a node group's machines; a group's rules; what scales an endpoint that
is gone; who may use a cluster, and what its pods may."""


def read_arn(arn: str) -> tuple[str, dict[str, Any]] | None:
    """Type token and inputs; None for what is in no stack of ours."""
    service, rest = arn.split(":", 5)[2], arn.split(":", 5)[5]
    kind, _, name = rest.replace(":", "/", 1).partition("/")
    if service == "s3":
        return "aws:s3/bucket:Bucket", {"bucket": rest}
    if service in ("sns", "sqs"):
        return {"sns": "aws:sns/topic:Topic", "sqs": "aws:sqs/queue:Queue"}[service], {"name": rest}
    if (service, kind) == ("ssm", "parameter"):
        return "aws:ssm/parameter:Parameter", {"name": f"/{name}" if "/" in name else name}
    if (service, kind) == ("eks", "nodegroup"):
        cluster, group, *_ = name.split("/")
        return "aws:eks/nodeGroup:NodeGroup", {"clusterName": cluster, "nodeGroupName": group}
    if (service, kind) == ("eks", "addon"):
        cluster, addon, *_ = name.split("/")
        return "aws:eks/addon:Addon", {"clusterName": cluster, "addonName": addon}
    if (service, kind) == ("logs", "log-group"):
        return "aws:cloudwatch/logGroup:LogGroup", {"name": name.removesuffix(":*")}
    if (service, kind) not in NAMED:
        return None
    type, key = NAMED[service, kind]  # noqa: A001
    return type, {key: name.rpartition("/")[2] if service == "iam" else name}


def goes_with_another(arn: str) -> bool:
    """Whether it is none of a stack's own resources."""
    service, rest = arn.split(":", 5)[2], arn.split(":", 5)[5]
    return (service, rest.replace(":", "/").partition("/")[0]) in OF_ANOTHER
