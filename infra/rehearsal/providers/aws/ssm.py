"""AWS Systems Manager: parameters."""

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

KIND = "Parameter"


def _create(call: ResourceCall) -> str:
    call.api.put_parameter(**call.body(), Tags=call.pairs())
    return str(call.inputs["name"])


def _change(call: ResourceCall) -> None:
    call.api.put_parameter(**call.body(), Overwrite=True)


def _read(call: ResourceCall) -> Reading:
    found = call.api.get_parameter(Name=call.id, WithDecryption=True)["Parameter"]
    filters = [{"Key": "Name", "Values": [call.id]}]
    told = call.api.describe_parameters(ParameterFilters=filters)["Parameters"][0]
    tags = call.api.list_tags_for_resource(ResourceType=KIND, ResourceId=call.id)["TagList"]
    answer = {**told, "Value": found["Value"], "Type": found["Type"]}
    return Reading(answer, {"arn": found["ARN"], "version": found["Version"]}, tag_map(tags))


PARAMETER = ResourceType(
    type="aws:ssm/parameter:Parameter",
    service="ssm",
    cloudformation="AWS::SSM::Parameter",
    properties={
        "name": text(),
        "type": text(required=True),
        "value": text(),
        "description": text(),
        "allowedPattern": text(),
        "dataType": text(computed=True),
        "tier": text(computed=True),
        "keyId": text(computed=True),
    },
    outputs=("arn", "version"),
    volatile={"version": ("value",)},
    identity=("name",),
    name="name",
    name_form=("", 1011),
    create=_create,
    read=_read,
    changes=(
        Update(("value", "type", "description", "allowedPattern", "dataType", "tier", "keyId"), _change),
    ),
    delete=lambda call: call.api.delete_parameter(Name=call.id),
    tag=tagger("add_tags_to_resource", "remove_tags_from_resource", "ResourceId", of="id", ResourceType=KIND),
    gone=("ParameterNotFound",),
)


RESOURCES = (PARAMETER,)
