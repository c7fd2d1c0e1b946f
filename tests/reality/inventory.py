"""All that an account holds, as the cloud lists it: asked of the services, not of any state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

STACK = "ecomdeploy:stack"
ACCOUNT = "123456789012"
"""The local cloud's."""


@dataclass(frozen=True, order=True)
class Holding:
    """One thing. `stack` is the value of its tag `ecomdeploy:stack`, "" without."""

    kind: str
    id: str
    stack: str = ""


def tag_of(pairs: Any) -> str:
    """The stack's tag, from whatever form a service gives tags in."""
    if isinstance(pairs, Mapping):
        return str(pairs.get(STACK, ""))
    for pair in pairs or ():
        if (pair.get("Key") or pair.get("key") or pair.get("TagKey")) == STACK:
            return str(pair.get("Value") or pair.get("value") or pair.get("TagValue"))
    return ""


def pages(client: Any, operation: str, key: str, **arguments: Any) -> Iterator[Any]:
    for page in client.get_paginator(operation).paginate(**arguments):
        yield from page.get(key, ())  # SQS leaves out what is empty


def kms(client: Any) -> Iterator[Holding]:
    for key in pages(client, "list_keys", "Keys"):
        found = client.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
        if found["KeyState"] != "PendingDeletion" and found["KeyManager"] == "CUSTOMER":
            tags = client.list_resource_tags(KeyId=key["KeyId"])["Tags"]
            yield Holding("key", key["KeyId"], tag_of(tags))
    for alias in pages(client, "list_aliases", "Aliases"):
        if not alias["AliasName"].startswith("alias/aws/"):
            yield Holding("alias", alias["AliasName"])


def s3(client: Any) -> Iterator[Holding]:
    from botocore.exceptions import ClientError

    for bucket in client.list_buckets()["Buckets"]:
        try:
            tags = client.get_bucket_tagging(Bucket=bucket["Name"])["TagSet"]
        except ClientError:
            tags = []
        yield Holding("bucket", bucket["Name"], tag_of(tags))


def ecr(client: Any) -> Iterator[Holding]:
    for one in pages(client, "describe_repositories", "repositories"):
        tags = client.list_tags_for_resource(resourceArn=one["repositoryArn"])["tags"]
        yield Holding("repository", one["repositoryName"], tag_of(tags))


def iam(client: Any) -> Iterator[Holding]:
    for role in pages(client, "list_roles", "Roles"):
        name = role["RoleName"]
        yield Holding("role", name, tag_of(client.list_role_tags(RoleName=name)["Tags"]))
        for policy in client.list_role_policies(RoleName=name)["PolicyNames"]:
            yield Holding("role policy", f"{name}:{policy}")
        for policy in client.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
            yield Holding("role attachment", f"{name}:{policy['PolicyArn']}")
    for one in client.list_open_id_connect_providers()["OpenIDConnectProviderList"]:
        tags = client.list_open_id_connect_provider_tags(OpenIDConnectProviderArn=one["Arn"])["Tags"]
        yield Holding("issuer", one["Arn"], tag_of(tags))


def budgets(client: Any) -> Iterator[Holding]:
    for one in client.describe_budgets(AccountId=ACCOUNT)["Budgets"]:
        arn = f"arn:aws:budgets::{ACCOUNT}:budget/{one['BudgetName']}"
        tags = client.list_tags_for_resource(ResourceARN=arn)["ResourceTags"]
        yield Holding("budget", one["BudgetName"], tag_of(tags))


def sns(client: Any) -> Iterator[Holding]:
    for one in pages(client, "list_topics", "Topics"):
        tags = client.list_tags_for_resource(ResourceArn=one["TopicArn"])["Tags"]
        yield Holding("topic", one["TopicArn"], tag_of(tags))


def sagemaker(client: Any) -> Iterator[Holding]:
    for kind, operation in (
        ("Model", "list_models"),
        ("EndpointConfig", "list_endpoint_configs"),
        ("Endpoint", "list_endpoints"),
    ):
        for one in pages(client, operation, f"{kind}s"):
            tags = client.list_tags(ResourceArn=one[f"{kind}Arn"])["Tags"]
            yield Holding(kind, one[f"{kind}Name"], tag_of(tags))


def scaling(client: Any) -> Iterator[Holding]:
    for kind, operation, key, name in (
        ("scalable target", "describe_scalable_targets", "ScalableTargets", "ResourceId"),
        ("scaling policy", "describe_scaling_policies", "ScalingPolicies", "PolicyName"),
        ("scheduled action", "describe_scheduled_actions", "ScheduledActions", "ScheduledActionName"),
    ):
        for one in pages(client, operation, key, ServiceNamespace="sagemaker"):
            yield Holding(kind, one[name])


def alarms(client: Any) -> Iterator[Holding]:
    for one in pages(client, "describe_alarms", "MetricAlarms"):
        tags = client.list_tags_for_resource(ResourceARN=one["AlarmArn"])["Tags"]
        yield Holding("alarm", one["AlarmName"], tag_of(tags))


EC2 = (
    ("describe_vpcs", "Vpcs", "VpcId"),
    ("describe_subnets", "Subnets", "SubnetId"),
    ("describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
    ("describe_nat_gateways", "NatGateways", "NatGatewayId"),
    ("describe_addresses", "Addresses", "AllocationId"),
    ("describe_route_tables", "RouteTables", "RouteTableId"),
    ("describe_security_groups", "SecurityGroups", "GroupId"),
    ("describe_launch_templates", "LaunchTemplates", "LaunchTemplateId"),
    ("describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId"),
    ("describe_flow_logs", "FlowLogs", "FlowLogId"),
)


def ec2(client: Any) -> Iterator[Holding]:
    for operation, key, name in EC2:
        for one in getattr(client, operation)()[key]:
            if str(one.get("State", "")).lower() not in ("deleted", "deleting"):
                yield Holding(key, one[name], tag_of(one.get("Tags")))
            for association in one.get("Associations", ()):
                if "SubnetId" in association:
                    yield Holding("route table association", association["RouteTableAssociationId"])
    for rule in client.describe_security_group_rules()["SecurityGroupRules"]:
        if tag_of(rule.get("Tags")):  # others are their group's own
            yield Holding("security group rule", rule["SecurityGroupRuleId"], tag_of(rule["Tags"]))


def eks(client: Any) -> Iterator[Holding]:
    for name in pages(client, "list_clusters", "clusters"):
        yield Holding("cluster", name, tag_of(client.describe_cluster(name=name)["cluster"].get("tags")))
        for group in pages(client, "list_nodegroups", "nodegroups", clusterName=name):
            found = client.describe_nodegroup(clusterName=name, nodegroupName=group)["nodegroup"]
            yield Holding("node group", f"{name}:{group}", tag_of(found.get("tags")))
        for addon in pages(client, "list_addons", "addons", clusterName=name):
            found = client.describe_addon(clusterName=name, addonName=addon)["addon"]
            yield Holding("add-on", f"{name}:{addon}", tag_of(found.get("tags")))
        for who in pages(client, "list_access_entries", "accessEntries", clusterName=name):
            found = client.describe_access_entry(clusterName=name, principalArn=who)["accessEntry"]
            yield Holding("access entry", f"{name}:{who}", tag_of(found.get("tags")))
            asked = {"clusterName": name, "principalArn": who}
            for one in pages(client, "list_associated_access_policies", "associatedAccessPolicies", **asked):
                yield Holding("access policy", f"{name}:{who}:{one['policyArn']}")
        yield from pods(client, name)


def pods(client: Any, cluster: str) -> Iterator[Holding]:
    """Those of add-ons go with them."""
    for one in pages(client, "list_pod_identity_associations", "associations", clusterName=cluster):
        if "ownerArn" not in one:
            asked = {"clusterName": cluster, "associationId": one["associationId"]}
            found = client.describe_pod_identity_association(**asked)["association"]
            yield Holding("pod identity", one["associationId"], tag_of(found.get("tags")))


def queues(client: Any) -> Iterator[Holding]:
    for url in pages(client, "list_queues", "QueueUrls"):
        yield Holding("queue", url, tag_of(client.list_queue_tags(QueueUrl=url).get("Tags")))


def rules(client: Any) -> Iterator[Holding]:
    for one in pages(client, "list_rules", "Rules"):
        tags = client.list_tags_for_resource(ResourceARN=one["Arn"])["Tags"]
        yield Holding("event rule", one["Name"], tag_of(tags))


def logs(client: Any) -> Iterator[Holding]:
    for one in pages(client, "describe_log_groups", "logGroups"):
        arn = one["arn"].removesuffix(":*")
        tags = client.list_tags_for_resource(resourceArn=arn)["tags"]
        if STACK in tags:  # others are made by what writes into them
            yield Holding("log group", one["logGroupName"], tag_of(tags))


def ssm(client: Any) -> Iterator[Holding]:
    for one in pages(client, "describe_parameters", "Parameters"):
        yield Holding("parameter", one["Name"])


SERVICES: Mapping[str, Callable[[Any], Iterator[Holding]]] = {
    "kms": kms,
    "s3": s3,
    "ecr": ecr,
    "iam": iam,
    "budgets": budgets,
    "sns": sns,
    "sagemaker": sagemaker,
    "application-autoscaling": scaling,
    "cloudwatch": alarms,
    "ec2": ec2,
    "eks": eks,
    "logs": logs,
    "sqs": queues,
    "events": rules,
    "ssm": ssm,
}

TYPES = {
    "aws:appautoscaling/policy:Policy": "scaling policy",
    "aws:appautoscaling/scheduledAction:ScheduledAction": "scheduled action",
    "aws:appautoscaling/target:Target": "scalable target",
    "aws:budgets/budget:Budget": "budget",
    "aws:cloudwatch/logGroup:LogGroup": "log group",
    "aws:cloudwatch/metricAlarm:MetricAlarm": "alarm",
    "aws:ec2/eip:Eip": "Addresses",
    "aws:ec2/flowLog:FlowLog": "FlowLogs",
    "aws:ec2/internetGateway:InternetGateway": "InternetGateways",
    "aws:ec2/launchTemplate:LaunchTemplate": "LaunchTemplates",
    "aws:ec2/natGateway:NatGateway": "NatGateways",
    "aws:ec2/routeTable:RouteTable": "RouteTables",
    "aws:ec2/routeTableAssociation:RouteTableAssociation": "route table association",
    "aws:ec2/securityGroup:SecurityGroup": "SecurityGroups",
    "aws:ec2/subnet:Subnet": "Subnets",
    "aws:ec2/vpc:Vpc": "Vpcs",
    "aws:ec2/vpcEndpoint:VpcEndpoint": "VpcEndpoints",
    "aws:ecr/repository:Repository": "repository",
    "aws:eks/accessEntry:AccessEntry": "access entry",
    "aws:eks/accessPolicyAssociation:AccessPolicyAssociation": "access policy",
    "aws:eks/addon:Addon": "add-on",
    "aws:eks/cluster:Cluster": "cluster",
    "aws:eks/nodeGroup:NodeGroup": "node group",
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": "pod identity",
    "aws:iam/openIdConnectProvider:OpenIdConnectProvider": "issuer",
    "aws:iam/role:Role": "role",
    "aws:iam/rolePolicy:RolePolicy": "role policy",
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": "role attachment",
    "aws:kms/alias:Alias": "alias",
    "aws:kms/key:Key": "key",
    "aws:s3/bucket:Bucket": "bucket",
    "aws:sagemaker/endpoint:Endpoint": "Endpoint",
    "aws:sagemaker/endpointConfiguration:EndpointConfiguration": "EndpointConfig",
    "aws:sagemaker/model:Model": "Model",
    "aws:sns/topic:Topic": "topic",
    "aws:cloudwatch/eventRule:EventRule": "event rule",
    "aws:sqs/queue:Queue": "queue",
    "aws:ssm/parameter:Parameter": "parameter",
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": "security group rule",
}
"""The kind under which a type of our table is listed."""

PART_OF = {
    "aws:ec2/route:Route": "aws:ec2/routeTable:RouteTable",
    "aws:cloudwatch/eventTarget:EventTarget": "aws:cloudwatch/eventRule:EventRule",
    "aws:sqs/queuePolicy:QueuePolicy": "aws:sqs/queue:Queue",
    **{
        f"aws:s3/{part[0].lower()}{part[1:]}:{part}": "aws:s3/bucket:Bucket"
        for part in (
            "BucketPolicy",
            "BucketPublicAccessBlock",
            "BucketServerSideEncryptionConfiguration",
            "BucketVersioning",
        )
    },
}
"""What is no thing of its own but a setting of another, and goes with it."""


def inventory(client: Callable[[str], Any]) -> frozenset[Holding]:
    """`client(service)` makes boto3 clients."""
    return frozenset(holding for service, ask in SERVICES.items() for holding in ask(client(service)))
