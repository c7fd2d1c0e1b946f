"""What a name finds: repository, bucket, cluster and its parts, model, endpoint, parameter, alarm, topic, queue."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from infra.aws_session import AwsSession, bucket_tags
from infra.lookup.base import PendingCreate
from infra.lookup.row import Find, LookupRow, ask, await_settled
from infra.names import partition_of
from infra.tags import tag_map

BY_NAME = "by its name, and then its tags"
Read = Callable[[Any, PendingCreate], Mapping[str, Any] | None]


def check_tags(service: str, read: Read, name: str) -> Find:
    """`read` gives the tags of what has that name, None when nothing has."""

    def find(session: AwsSession, wanted: PendingCreate) -> Iterable[str]:
        tags = read(session.client(service), wanted)
        if tags is not None and wanted.owns(tags):
            yield wanted.text(name)

    return find


def repository_tags(ecr: Any, wanted: PendingCreate) -> Mapping[str, str] | None:
    found = ask(ecr.describe_repositories, repositoryNames=[wanted.text("name")])
    if not found:
        return None
    return tag_map(ecr.list_tags_for_resource(resourceArn=found["repositories"][0]["repositoryArn"])["tags"])


def find_bucket(session: AwsSession, wanted: PendingCreate) -> Iterable[str]:
    """Tags come after the bucket: one of ours without any is what a kill between the two left."""
    tags = bucket_tags(session.client("s3"), wanted.text("bucket"))
    if tags is not None and (not tags or wanted.owns(tags)):
        yield wanted.text("bucket")


def sagemaker_tags(describe: str, member: str) -> Read:
    def read(sagemaker: Any, wanted: PendingCreate) -> Mapping[str, str] | None:
        named = {f"{member}Name": wanted.text("name")}
        found = ask(partial(getattr(sagemaker, f"describe_{describe}"), **named))
        if not found or found.get("EndpointStatus") == "Deleting":
            return None
        if "EndpointStatus" in found:
            await_settled(sagemaker, "endpoint_in_service", EndpointName=wanted.text("name"))
        return tag_map(sagemaker.list_tags(ResourceArn=found[f"{member}Arn"])["Tags"])

    return read


def parameter_tags(ssm: Any, wanted: PendingCreate) -> Mapping[str, str] | None:
    name = wanted.text("name")
    if ask(ssm.get_parameter, Name=name) is None:
        return None
    return tag_map(ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=name)["TagList"])


def alarm_tags(cloudwatch: Any, wanted: PendingCreate) -> Mapping[str, str] | None:
    found = cloudwatch.describe_alarms(AlarmNames=[wanted.text("name")])["MetricAlarms"]
    if not found:
        return None
    return tag_map(cloudwatch.list_tags_for_resource(ResourceARN=found[0]["AlarmArn"])["Tags"])


def find_topic(session: AwsSession, wanted: PendingCreate) -> Iterable[str]:
    """SNS takes no name to look by: the account's topics, in pages."""
    sns = session.client("sns")
    for page in sns.get_paginator("list_topics").paginate():
        for topic in page["Topics"]:
            arn = topic["TopicArn"]
            if arn.rpartition(":")[2] == wanted.text("name"):
                tags = ask(sns.list_tags_for_resource, ResourceArn=arn)
                if tags and wanted.owns(tag_map(tags["Tags"])):
                    yield arn


def cluster_tags(eks: Any, wanted: PendingCreate) -> Mapping[str, str] | None:
    found = ask(eks.describe_cluster, name=wanted.text("name"))
    if not found or found["cluster"]["status"] == "DELETING":
        return None
    await_settled(eks, "cluster_active", name=wanted.text("name"))
    return dict(found["cluster"].get("tags") or {})


def find_in_cluster(kind: str, named: str) -> Find:
    """A part of a cluster that takes a while to be made: EKS's word for it, and the property with its name."""

    def find(session: AwsSession, wanted: PendingCreate) -> Iterable[str]:
        eks, cluster, name = session.client("eks"), wanted.text("clusterName"), wanted.text(named)
        asked = {"clusterName": cluster, f"{kind}Name": name}
        found = ask(partial(getattr(eks, f"describe_{kind}"), **asked))
        if not found or found[kind]["status"] == "DELETING":
            return
        if wanted.owns(found[kind].get("tags") or {}):
            await_settled(eks, f"{kind}_active", **asked)
            yield f"{cluster}:{name}"

    return find


def find_access_entry(session: AwsSession, wanted: PendingCreate) -> Iterable[str]:
    cluster, principal = wanted.text("clusterName"), wanted.text("principalArn")
    found = ask(session.client("eks").describe_access_entry, clusterName=cluster, principalArn=principal)
    if found and wanted.owns(found["accessEntry"].get("tags") or {}):
        yield f"{cluster}:{principal}"


def find_pod_identity(session: AwsSession, wanted: PendingCreate) -> Iterable[str]:
    """A service account has one."""
    eks, cluster = session.client("eks"), wanted.text("clusterName")
    found = ask(
        eks.list_pod_identity_associations,
        clusterName=cluster,
        namespace=wanted.text("namespace"),
        serviceAccount=wanted.text("serviceAccount"),
    )
    for one in found["associations"] if found else ():
        name = one["associationId"]
        told = ask(eks.describe_pod_identity_association, clusterName=cluster, associationId=name)
        if told and wanted.owns(told["association"].get("tags") or {}):
            yield name


def find_queue(session: AwsSession, wanted: PendingCreate) -> Iterable[str]:
    """Its id is its URL."""
    sqs, name = session.client("sqs"), wanted.text("name")
    for page in sqs.get_paginator("list_queues").paginate(QueueNamePrefix=name):
        for url in page.get("QueueUrls", ()):
            if url.rpartition("/")[2] == name and wanted.owns(
                sqs.list_queue_tags(QueueUrl=url).get("Tags") or {}
            ):
                yield url


def event_rule_tags(events: Any, wanted: PendingCreate) -> Mapping[str, str] | None:
    found = ask(events.describe_rule, Name=wanted.text("name"))
    return tag_map(events.list_tags_for_resource(ResourceARN=found["Arn"])["Tags"]) if found else None


def log_group_tags(logs: Any, wanted: PendingCreate) -> Mapping[str, str] | None:
    name = wanted.text("name")
    for group in logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]:
        if group["logGroupName"] == name:
            return dict(logs.list_tags_for_resource(resourceArn=group["arn"].removesuffix(":*"))["tags"])
    return None


def find_budget(session: AwsSession, wanted: PendingCreate) -> Iterable[str]:
    """Budgets are the account's, in no region."""
    account, name = session.client("sts").get_caller_identity()["Account"], wanted.text("name")
    budgets = session.client("budgets")
    found = ask(budgets.describe_budget, AccountId=account, BudgetName=name)
    if found:
        arn = f"arn:{partition_of(session.region)}:budgets::{account}:budget/{name}"
        if wanted.owns(tag_map(budgets.list_tags_for_resource(ResourceARN=arn).get("ResourceTags"))):
            yield f"{account}:{name}"


def find_scalable_target(session: AwsSession, wanted: PendingCreate) -> Iterable[str]:
    """An endpoint's variant has one, and the endpoint is the stack's own."""
    found = session.client("application-autoscaling").describe_scalable_targets(
        ServiceNamespace=wanted.text("serviceNamespace"),
        ResourceIds=[wanted.text("resourceId")],
        ScalableDimension=wanted.text("scalableDimension"),
    )
    if found["ScalableTargets"]:
        yield wanted.text("resourceId")


WITH_ITS_QUEUE = "not looked up: made again it is the same call, and it goes with its queue"
WITH_ITS_RULE = "not looked up: made again it is the same call, and alone it sends nothing"
WITH_ITS_BUCKET = "not looked up: made again it is the same call, and it goes with its bucket"
WITH_ITS_ENTRY = "not looked up: made again it is the same call, and it goes with its access entry"
WITH_ITS_TARGET = "not looked up: made again it is the same call, and it goes with its scalable target"
ROWS = (
    LookupRow("aws:ecr/repository:Repository", BY_NAME, check_tags("ecr", repository_tags, "name")),
    LookupRow("aws:s3/bucket:Bucket", "by its name; its tags, or none yet", find_bucket),
    *(
        LookupRow(f"aws:s3/{name[0].lower()}{name[1:]}:{name}", WITH_ITS_BUCKET)
        for name in (
            *("BucketVersioning", "BucketServerSideEncryptionConfiguration"),
            *("BucketPublicAccessBlock", "BucketPolicy"),
        )
    ),
    LookupRow(
        "aws:sagemaker/model:Model",
        BY_NAME,
        check_tags("sagemaker", sagemaker_tags("model", "Model"), "name"),
    ),
    LookupRow(
        "aws:sagemaker/endpointConfiguration:EndpointConfiguration",
        BY_NAME,
        check_tags("sagemaker", sagemaker_tags("endpoint_config", "EndpointConfig"), "name"),
    ),
    LookupRow(
        "aws:sagemaker/endpoint:Endpoint",
        f"{BY_NAME}; waited for",
        check_tags("sagemaker", sagemaker_tags("endpoint", "Endpoint"), "name"),
    ),
    LookupRow("aws:budgets/budget:Budget", BY_NAME, find_budget),
    LookupRow("aws:ssm/parameter:Parameter", BY_NAME, check_tags("ssm", parameter_tags, "name")),
    LookupRow(
        "aws:cloudwatch/metricAlarm:MetricAlarm", BY_NAME, check_tags("cloudwatch", alarm_tags, "name")
    ),
    LookupRow("aws:sns/topic:Topic", BY_NAME, find_topic),
    LookupRow("aws:eks/cluster:Cluster", f"{BY_NAME}; waited for", check_tags("eks", cluster_tags, "name")),
    LookupRow(
        "aws:eks/nodeGroup:NodeGroup", f"{BY_NAME}; waited for", find_in_cluster("nodegroup", "nodeGroupName")
    ),
    LookupRow("aws:eks/addon:Addon", f"{BY_NAME}; waited for", find_in_cluster("addon", "addonName")),
    LookupRow("aws:eks/accessEntry:AccessEntry", "by whom it is for, and then its tags", find_access_entry),
    LookupRow("aws:eks/accessPolicyAssociation:AccessPolicyAssociation", WITH_ITS_ENTRY),
    LookupRow(
        "aws:eks/podIdentityAssociation:PodIdentityAssociation",
        "by its service account, and then its tags",
        find_pod_identity,
    ),
    LookupRow("aws:sqs/queue:Queue", BY_NAME, find_queue),
    LookupRow("aws:sqs/queuePolicy:QueuePolicy", WITH_ITS_QUEUE),
    LookupRow("aws:cloudwatch/eventRule:EventRule", BY_NAME, check_tags("events", event_rule_tags, "name")),
    LookupRow("aws:cloudwatch/eventTarget:EventTarget", WITH_ITS_RULE),
    LookupRow("aws:cloudwatch/logGroup:LogGroup", BY_NAME, check_tags("logs", log_group_tags, "name")),
    LookupRow("aws:appautoscaling/target:Target", "by what it scales, which has one", find_scalable_target),
    LookupRow("aws:appautoscaling/policy:Policy", WITH_ITS_TARGET),
    LookupRow("aws:appautoscaling/scheduledAction:ScheduledAction", WITH_ITS_TARGET),
)
