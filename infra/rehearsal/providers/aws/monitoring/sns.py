"""Amazon SNS: topic."""

from __future__ import annotations

from infra.rehearsal.providers.aws.property_types import text
from infra.rehearsal.providers.aws.resource import (
    Reading,
    ResourceCall,
    ResourceType,
    Update,
    tagger,
)
from infra.tags import tag_map

SETTINGS = ("displayName", "kmsMasterKeyId")


def _create(call: ResourceCall) -> str:
    settings = {name: value for name, value in call.body(*SETTINGS).items() if value}
    made = call.api.create_topic(Name=call.inputs["name"], Attributes=settings, Tags=call.pairs())
    return str(made["TopicArn"])


def _read(call: ResourceCall) -> Reading | None:
    attributes = call.api.get_topic_attributes(TopicArn=call.id)["Attributes"]
    arn = attributes["TopicArn"]
    tags = tag_map(call.api.list_tags_for_resource(ResourceArn=arn)["Tags"])
    answer = {"Name": arn.rpartition(":")[2], **attributes}
    return Reading(answer, {"arn": arn, "owner": attributes["Owner"]}, tags)


def _change(call: ResourceCall) -> None:
    """One attribute a call; an empty value takes it away."""
    for name, wanted in (("DisplayName", "displayName"), ("KmsMasterKeyId", "kmsMasterKeyId")):
        if call.inputs.get(wanted) != call.olds.get(wanted):
            value = call.inputs.get(wanted) or ""
            call.api.set_topic_attributes(TopicArn=call.id, AttributeName=name, AttributeValue=value)


TOPIC = ResourceType(
    type="aws:sns/topic:Topic",
    service="sns",
    cloudformation="AWS::SNS::Topic",
    properties={"name": text(cfn="TopicName"), "displayName": text(), "kmsMasterKeyId": text()},
    outputs=("arn", "owner"),
    identity=("name",),
    name="name",
    name_form=("", 256),
    find=lambda call: [call.account.arn("sns", call.inputs["name"])],
    create=_create,
    read=_read,
    changes=(Update(SETTINGS, _change),),
    delete=lambda call: call.api.delete_topic(TopicArn=call.id),
    tag=tagger("tag_resource", "untag_resource", "ResourceArn"),
    gone=("NotFound", "NotFoundException"),
)

RESOURCES = (TOPIC,)
