"""Amazon EventBridge: a rule of the account's own bus, and where it sends what fits."""

from __future__ import annotations

from infra.rehearsal.providers.aws.property_types import policy, text
from infra.rehearsal.providers.aws.resource import Reading, ResourceCall, ResourceType, Update, tagger
from infra.tags import tag_map

GONE = ("ResourceNotFoundException",)
TARGET_SOURCE = "internal/service/events/target.go"


def _put_rule(call: ResourceCall) -> str:
    """What is not said is taken away: the call sets all of it."""
    call.api.put_rule(**call.body())
    return str(call.inputs["name"])


def _create_rule(call: ResourceCall) -> str:
    call.api.put_rule(**call.body(), Tags=call.pairs())
    return str(call.inputs["name"])


def _read_rule(call: ResourceCall) -> Reading:
    found = call.api.describe_rule(Name=call.id)
    tags = call.api.list_tags_for_resource(ResourceARN=found["Arn"]).get("Tags")
    return Reading(found, {"arn": found["Arn"]}, tag_map(tags))


RULE = ResourceType(
    type="aws:cloudwatch/eventRule:EventRule",
    service="events",
    cloudformation="AWS::Events::Rule",
    properties={
        "name": text(),
        "description": text(),
        "eventPattern": policy(),
        "scheduleExpression": text(),
        "state": text(default="ENABLED"),
    },
    outputs=("arn",),
    identity=("name",),
    name="name",
    name_form=("", 64),
    create=_create_rule,
    read=_read_rule,
    changes=(Update(("description", "eventPattern", "scheduleExpression", "state"), _put_rule),),
    delete=lambda call: call.api.delete_rule(Name=call.id),
    tag=tagger("tag_resource", "untag_resource", "ResourceARN"),
    gone=GONE,
)


def _put_target(call: ResourceCall) -> str:
    rule, target = call.inputs["rule"], call.inputs["targetId"]
    call.api.put_targets(Rule=rule, Targets=[{"Id": target, "Arn": call.inputs["arn"]}])
    return f"{rule}-{target}"


def _read_target(call: ResourceCall) -> Reading | None:
    """Both names have hyphens, and so has the id: the inputs tell the two."""
    rule, target = call.inputs["rule"], call.inputs["targetId"]
    for page in call.api.get_paginator("list_targets_by_rule").paginate(Rule=rule):
        for one in page["Targets"]:
            if one["Id"] == target:
                return Reading({"Rule": rule, "TargetId": target, "Arn": one["Arn"]})
    return None


TARGET = ResourceType(
    type="aws:cloudwatch/eventTarget:EventTarget",
    service="events",
    properties={
        "rule": text(required=True, replaces=True, source=TARGET_SOURCE),
        "targetId": text(replaces=True, source=TARGET_SOURCE),
        "arn": text(required=True),
    },
    identity=("rule", "targetId"),
    name="targetId",
    name_form=("", 64),
    create=_put_target,
    read=_read_target,
    changes=(Update(("arn",), _put_target),),
    delete=lambda call: call.api.remove_targets(Rule=call.inputs["rule"], Ids=[call.inputs["targetId"]]),
    gone=GONE,
)

RESOURCES = (RULE, TARGET)
