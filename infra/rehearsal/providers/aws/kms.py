"""AWS KMS: key and alias."""

from __future__ import annotations

from collections.abc import Iterator

from infra.rehearsal.providers.aws import naming
from infra.rehearsal.providers.aws.property_types import flag, integer, policy, text
from infra.rehearsal.providers.aws.resource import (
    Reading,
    ResourceCall,
    ResourceType,
    Update,
    tagger,
)
from infra.tags import tag_map

SOURCE = "internal/service/kms/key.go"
GONE = ("NotFoundException",)


def _create_key(call: ResourceCall) -> str:
    body = call.body("customerMasterKeySpec", "keyUsage", "description", "policy", "multiRegion")
    pairs = call.pairs("TagKey", "TagValue")
    return str(call.api.create_key(**body, Tags=pairs)["KeyMetadata"]["KeyId"])


def _change_rotation(call: ResourceCall) -> None:
    if call.inputs["enableKeyRotation"]:
        call.api.enable_key_rotation(KeyId=call.id, **call.body("rotationPeriodInDays"))
    else:
        call.api.disable_key_rotation(KeyId=call.id)


def _change_state(call: ResourceCall) -> None:
    (call.api.enable_key if call.inputs["isEnabled"] else call.api.disable_key)(KeyId=call.id)


def _finish_key(call: ResourceCall) -> None:
    if call.inputs["enableKeyRotation"]:
        _change_rotation(call)
    if not call.inputs["isEnabled"]:
        _change_state(call)


def _read_key(call: ResourceCall) -> Reading | None:
    key = call.api.describe_key(KeyId=call.id)["KeyMetadata"]
    if key["KeyState"] in ("PendingDeletion", "PendingReplicaDeletion"):
        return None
    rotation = call.api.get_key_rotation_status(KeyId=call.id)
    document = call.api.get_key_policy(KeyId=call.id, PolicyName="default")["Policy"]
    answer = {
        **key,
        "IsEnabled": key["Enabled"],
        "EnableKeyRotation": rotation["KeyRotationEnabled"],
        "RotationPeriodInDays": rotation.get("RotationPeriodInDays"),
        "Policy": document,
    }
    return Reading(answer, {"arn": key["Arn"], "keyId": key["KeyId"]}, _key_tags(call, call.id))


def _key_tags(call: ResourceCall, key: str) -> dict[str, str]:
    return tag_map(call.api.list_resource_tags(KeyId=key)["Tags"], "TagKey", "TagValue")


def _find_key(call: ResourceCall) -> Iterator[str]:
    """Keys tagged as this very resource: KMS has no search by tag."""
    wanted = [call.tags.get(key) for key in (*naming.OF_STACK, naming.RESOURCE)]
    if None in wanted:
        return
    for page in call.api.get_paginator("list_keys").paginate():
        for key in page["Keys"]:
            tags = _key_tags(call, key["KeyId"])
            if [tags.get(name) for name in (*naming.OF_STACK, naming.RESOURCE)] == wanted:
                yield key["KeyId"]


KEY = ResourceType(
    type="aws:kms/key:Key",
    service="kms",
    cloudformation="AWS::KMS::Key",
    properties={
        "description": text(computed=True),
        "customerMasterKeySpec": text(
            default="SYMMETRIC_DEFAULT", api="KeySpec", cfn="KeySpec", replaces=True, source=SOURCE
        ),
        "keyUsage": text(default="ENCRYPT_DECRYPT", replaces=True, source=SOURCE),
        "multiRegion": flag(computed=True, replaces=True, source=SOURCE),
        "policy": policy(computed=True, cfn="KeyPolicy"),
        "enableKeyRotation": flag(default=False),
        "rotationPeriodInDays": integer(computed=True),
        "isEnabled": flag(default=True, cfn="Enabled"),
        "deletionWindowInDays": integer(local=True, cfn="PendingWindowInDays"),
        "bypassPolicyLockoutSafetyCheck": flag(default=False, local=True),
    },
    outputs=("arn", "keyId"),
    find=_find_key,
    create=_create_key,
    finish=_finish_key,
    read=_read_key,
    changes=(
        Update(("isEnabled",), lambda call: _change_state(call) if call.inputs["isEnabled"] else None),
        Update(("enableKeyRotation", "rotationPeriodInDays"), _change_rotation),
        Update(
            ("description",),
            lambda call: call.api.update_key_description(
                KeyId=call.id, Description=call.inputs.get("description", "")
            ),
        ),
        Update(
            ("policy",),
            lambda call: call.api.put_key_policy(
                KeyId=call.id, PolicyName="default", Policy=call.inputs["policy"]
            ),
        ),
        # A disabled key cannot be changed any more: last (internal/service/kms/key.go).
        Update(("isEnabled",), lambda call: None if call.inputs["isEnabled"] else _change_state(call)),
    ),
    delete=lambda call: call.api.schedule_key_deletion(
        KeyId=call.id, PendingWindowInDays=call.inputs.get("deletionWindowInDays", 30)
    ),
    tag=tagger("tag_resource", "untag_resource", "KeyId", of="id", pair=("TagKey", "TagValue")),
    gone=GONE,
)


def _read_alias(call: ResourceCall) -> Reading | None:
    for page in call.api.get_paginator("list_aliases").paginate():
        for alias in page["Aliases"]:
            if alias["AliasName"] == call.id and alias.get("TargetKeyId"):
                return _alias(call, alias["AliasArn"], alias["TargetKeyId"])
    return None


def _alias(call: ResourceCall, arn: str, key: str) -> Reading:
    given = str(call.inputs.get("targetKeyId", ""))
    # A key's id and its ARN are the same key (internal/service/kms/alias.go).
    target = given if given.rpartition("/")[2] == key else key
    outputs = {"arn": arn, "targetKeyArn": call.account.arn("kms", f"key/{key}")}
    return Reading({"AliasName": call.id, "TargetKeyId": target}, outputs)


def _find_alias(call: ResourceCall) -> list[str]:
    """An alias of this name that leads to the wanted key already; another's is left to the API's refusal."""
    call.id = name = call.inputs["name"]
    reading = _read_alias(call)
    return [name] if reading and reading.answer["TargetKeyId"] == call.inputs["targetKeyId"] else []


def _create_alias(call: ResourceCall) -> str:
    call.api.create_alias(**call.body())
    return str(call.inputs["name"])


ALIAS = ResourceType(
    type="aws:kms/alias:Alias",
    service="kms",
    cloudformation="AWS::KMS::Alias",
    properties={"name": text(api="AliasName", cfn="AliasName"), "targetKeyId": text(required=True)},
    outputs=("arn", "targetKeyArn"),
    volatile={"targetKeyArn": ("targetKeyId",)},
    identity=("name",),
    name="name",
    name_form=("alias/", 256),
    find=_find_alias,
    create=_create_alias,
    read=_read_alias,
    changes=(
        Update(
            ("targetKeyId",),
            lambda call: call.api.update_alias(AliasName=call.id, TargetKeyId=call.inputs["targetKeyId"]),
        ),
    ),
    delete=lambda call: call.api.delete_alias(AliasName=call.id),
    gone=GONE,
)

RESOURCES = (KEY, ALIAS)
