"""Amazon SQS: queue, and the policy of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from infra.rehearsal.engine.provider import Values
from infra.rehearsal.providers.aws.property_types import flag, integer, policy, text
from infra.rehearsal.providers.aws.resource import Reading, ResourceCall, ResourceType, Update, tagger

GONE = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")
POLICY_SOURCE = "internal/service/sqs/queue_policy.go"
NUMBERS = {
    "delaySeconds": integer(default=0),
    "maxMessageSize": integer(computed=True, api="MaximumMessageSize", cfn="MaximumMessageSize"),
    "messageRetentionSeconds": integer(
        default=345600, api="MessageRetentionPeriod", cfn="MessageRetentionPeriod"
    ),
    "receiveWaitTimeSeconds": integer(
        default=0, api="ReceiveMessageWaitTimeSeconds", cfn="ReceiveMessageWaitTimeSeconds"
    ),
    "visibilityTimeoutSeconds": integer(default=30, api="VisibilityTimeout", cfn="VisibilityTimeout"),
}
SETTINGS = (*NUMBERS, "sqsManagedSseEnabled", "kmsMasterKeyId")


def _attributes(values: Values) -> dict[str, str]:
    """SQS takes and tells texts."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()
    }


def _create(call: ResourceCall) -> str:
    made = call.api.create_queue(
        QueueName=call.inputs["name"], Attributes=_attributes(call.body(*SETTINGS)), tags=call.tags
    )
    return str(made["QueueUrl"])


def _find(call: ResourceCall) -> Iterator[str]:
    """A queue's id is its URL, which its name does not tell."""
    name = call.inputs["name"]
    for page in call.api.get_paginator("list_queues").paginate(QueueNamePrefix=name):
        yield from (url for url in page.get("QueueUrls", ()) if url.rpartition("/")[2] == name)


def _read(call: ResourceCall) -> Reading:
    told = call.api.get_queue_attributes(QueueUrl=call.id, AttributeNames=["All"])["Attributes"]
    tags = call.api.list_queue_tags(QueueUrl=call.id).get("Tags") or {}
    answer: dict[str, Any] = {**told, "Name": told["QueueArn"].rpartition(":")[2]}
    if "SqsManagedSseEnabled" in told:
        answer["SqsManagedSseEnabled"] = told["SqsManagedSseEnabled"] == "true"
    return Reading(answer, {"arn": told["QueueArn"], "url": call.id}, tags)


def _change(call: ResourceCall) -> None:
    """What differs; an empty key takes it away."""
    differs = [name for name in SETTINGS if call.olds.get(name) != call.inputs.get(name)]
    wanted = call.body(*differs)
    if "kmsMasterKeyId" in differs and not call.inputs.get("kmsMasterKeyId"):
        wanted["KmsMasterKeyId"] = ""
    call.api.set_queue_attributes(QueueUrl=call.id, Attributes=_attributes(wanted))


QUEUE = ResourceType(
    type="aws:sqs/queue:Queue",
    service="sqs",
    cloudformation="AWS::SQS::Queue",
    properties={
        "name": text(cfn="QueueName"),
        **NUMBERS,
        "sqsManagedSseEnabled": flag(computed=True),
        "kmsMasterKeyId": text(),
    },
    outputs=("arn", "url"),
    identity=("name",),
    name="name",
    name_form=("", 80),
    find=_find,
    create=_create,
    read=_read,
    changes=(Update(SETTINGS, _change),),
    delete=lambda call: call.api.delete_queue(QueueUrl=call.id),
    tag=tagger("tag_queue", "untag_queue", "QueueUrl", of="id", pair=None),
    gone=GONE,
)


def _put_policy(call: ResourceCall) -> str:
    url = str(call.inputs["queueUrl"])
    call.api.set_queue_attributes(QueueUrl=url, Attributes={"Policy": call.inputs["policy"]})
    return url


def _read_policy(call: ResourceCall) -> Reading | None:
    told = call.api.get_queue_attributes(QueueUrl=call.id, AttributeNames=["Policy"]).get("Attributes") or {}
    return Reading({"QueueUrl": call.id, "Policy": told["Policy"]}) if told.get("Policy") else None


POLICY = ResourceType(
    type="aws:sqs/queuePolicy:QueuePolicy",
    service="sqs",
    properties={
        "queueUrl": text(required=True, replaces=True, source=POLICY_SOURCE),
        "policy": policy(required=True),
    },
    identity=("queueUrl",),
    create=_put_policy,
    read=_read_policy,
    changes=(Update(("policy",), _put_policy),),
    delete=lambda call: call.api.set_queue_attributes(QueueUrl=call.id, Attributes={"Policy": ""}),
    gone=GONE,
)

RESOURCES = (QUEUE, POLICY)
