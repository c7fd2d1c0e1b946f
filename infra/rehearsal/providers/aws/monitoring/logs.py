"""Amazon CloudWatch Logs: log group."""

from __future__ import annotations

from typing import Any

from infra.rehearsal.providers.aws.property_types import camel, flag, integer, text
from infra.rehearsal.providers.aws.resource import Reading, ResourceCall, ResourceType, Update, tagger


def _create(call: ResourceCall) -> str:
    call.api.create_log_group(**call.body("name", "kmsKeyId"), **({"tags": call.tags} if call.tags else {}))
    return str(call.inputs["name"])


def _keep(call: ResourceCall) -> None:
    """0 days: for ever."""
    if call.inputs.get("retentionInDays"):
        call.api.put_retention_policy(logGroupName=call.id, retentionInDays=call.inputs["retentionInDays"])
    elif call.olds.get("retentionInDays"):
        call.api.delete_retention_policy(logGroupName=call.id)


def _encrypt(call: ResourceCall) -> None:
    if call.inputs.get("kmsKeyId"):
        call.api.associate_kms_key(logGroupName=call.id, kmsKeyId=call.inputs["kmsKeyId"])
    else:
        call.api.disassociate_kms_key(logGroupName=call.id)


def _read(call: ResourceCall) -> Reading | None:
    found = call.api.describe_log_groups(logGroupNamePrefix=call.id)["logGroups"]
    group: dict[str, Any] | None = next((one for one in found if one["logGroupName"] == call.id), None)
    if group is None:
        return None
    arn = str(group["arn"]).removesuffix(":*")
    return Reading(group, {"arn": arn}, call.api.list_tags_for_resource(resourceArn=arn).get("tags") or {})


GROUP = ResourceType(
    type="aws:cloudwatch/logGroup:LogGroup",
    service="logs",
    spelling=camel,
    cloudformation="AWS::Logs::LogGroup",
    properties={
        "name": text(api="logGroupName"),
        "retentionInDays": integer(computed=True),
        "kmsKeyId": text(),
        "skipDestroy": flag(default=False, local=True),
    },
    outputs=("arn",),
    identity=("name",),
    name="name",
    name_form=("", 512),
    create=_create,
    finish=_keep,
    read=_read,
    changes=(Update(("retentionInDays",), _keep), Update(("kmsKeyId",), _encrypt)),
    delete=lambda call: call.api.delete_log_group(logGroupName=call.id),
    tag=tagger("tag_resource", "untag_resource", "resourceArn", pair=None, tags="tags", keys="tagKeys"),
    gone=("ResourceNotFoundException",),
)

RESOURCES = (GROUP,)
