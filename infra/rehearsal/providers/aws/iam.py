"""AWS IAM: roles, their inline policies, attachments of managed ones, issuers of tokens."""

from __future__ import annotations

from infra.rehearsal.providers.aws.property_types import flag, integer, items, policy, text, unordered_list
from infra.rehearsal.providers.aws.resource import (
    Reading,
    ResourceCall,
    ResourceType,
    Update,
    tagger,
)
from infra.tags import tag_map

GONE = ("NoSuchEntity",)


def _create_role(call: ResourceCall) -> str:
    return str(call.api.create_role(**call.body(), Tags=call.pairs())["Role"]["RoleName"])


def _read_role(call: ResourceCall) -> Reading:
    role = call.api.get_role(RoleName=call.id)["Role"]
    boundary = (role.get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn")
    created = role["CreateDate"].strftime("%Y-%m-%dT%H:%M:%SZ")
    return Reading(
        {**role, "PermissionsBoundary": boundary},
        {"arn": role["Arn"], "createDate": created, "uniqueId": role["RoleId"]},
        tag_map(role.get("Tags")),
    )


def _change_role(call: ResourceCall) -> None:
    call.api.update_role(
        RoleName=call.id,
        Description=call.inputs.get("description", ""),
        MaxSessionDuration=call.inputs["maxSessionDuration"],
    )


def _change_boundary(call: ResourceCall) -> None:
    boundary = call.inputs.get("permissionsBoundary")
    if boundary:
        call.api.put_role_permissions_boundary(RoleName=call.id, PermissionsBoundary=boundary)
    else:
        call.api.delete_role_permissions_boundary(RoleName=call.id)


def _delete_role(call: ResourceCall) -> None:
    if call.inputs.get("forceDetachPolicies"):
        for attached in call.api.list_attached_role_policies(RoleName=call.id)["AttachedPolicies"]:
            call.api.detach_role_policy(RoleName=call.id, PolicyArn=attached["PolicyArn"])
        for name in call.api.list_role_policies(RoleName=call.id)["PolicyNames"]:
            call.api.delete_role_policy(RoleName=call.id, PolicyName=name)
    call.api.delete_role(RoleName=call.id)


ROLE = ResourceType(
    type="aws:iam/role:Role",
    service="iam",
    cloudformation="AWS::IAM::Role",
    properties={
        "name": text(api="RoleName", cfn="RoleName"),
        "assumeRolePolicy": policy(required=True, api="AssumeRolePolicyDocument"),
        "description": text(),
        "path": text(default="/"),
        "maxSessionDuration": integer(default=3600),
        "permissionsBoundary": text(),
        "forceDetachPolicies": flag(default=False, local=True),
    },
    outputs=("arn", "createDate", "uniqueId"),
    identity=("name",),
    name="name",
    name_form=("", 64),
    create=_create_role,
    read=_read_role,
    changes=(
        Update(
            ("assumeRolePolicy",),
            lambda call: call.api.update_assume_role_policy(
                RoleName=call.id, PolicyDocument=call.inputs["assumeRolePolicy"]
            ),
        ),
        Update(("description", "maxSessionDuration"), _change_role),
        Update(("permissionsBoundary",), _change_boundary),
    ),
    delete=_delete_role,
    tag=tagger("tag_role", "untag_role", "RoleName", of="id"),
    gone=GONE,
)


def _put_inline(call: ResourceCall) -> str:
    call.api.put_role_policy(
        RoleName=call.inputs["role"], PolicyName=call.inputs["name"], PolicyDocument=call.inputs["policy"]
    )
    return f"{call.inputs['role']}:{call.inputs['name']}"


def _inline(call: ResourceCall) -> dict[str, str]:
    role, _, name = call.id.partition(":")
    return {"RoleName": role, "PolicyName": name}


ROLE_POLICY = ResourceType(
    type="aws:iam/rolePolicy:RolePolicy",
    service="iam",
    cloudformation="AWS::IAM::RolePolicy",
    properties={
        "name": text(api="PolicyName", cfn="PolicyName"),
        "role": text(required=True, api="RoleName", cfn="RoleName"),
        "policy": policy(required=True, api="PolicyDocument"),
    },
    identity=("role", "name"),
    name="name",
    name_form=("", 128),
    create=_put_inline,
    read=lambda call: Reading(call.api.get_role_policy(**_inline(call))),
    changes=(Update(("policy",), _put_inline),),
    delete=lambda call: call.api.delete_role_policy(**_inline(call)),
    gone=GONE,
)


def _attach(call: ResourceCall) -> str:
    role, arn = call.inputs["role"], call.inputs["policyArn"]
    call.api.attach_role_policy(RoleName=role, PolicyArn=arn)
    return f"{role}/{arn}"


def _read_attachment(call: ResourceCall) -> Reading | None:
    role, _, arn = call.id.partition("/")
    for page in call.api.get_paginator("list_attached_role_policies").paginate(RoleName=role):
        if any(attached["PolicyArn"] == arn for attached in page["AttachedPolicies"]):
            return Reading({"Role": role, "PolicyArn": arn})
    return None


SOURCE = "internal/service/iam/role_policy_attachment.go"
ATTACHMENT = ResourceType(
    type="aws:iam/rolePolicyAttachment:RolePolicyAttachment",
    service="iam",
    properties={
        "role": text(required=True, replaces=True, source=SOURCE),
        "policyArn": text(required=True, replaces=True, source=SOURCE),
    },
    identity=("role", "policyArn"),
    create=_attach,
    read=_read_attachment,
    delete=lambda call: call.api.detach_role_policy(
        RoleName=call.id.partition("/")[0], PolicyArn=call.id.partition("/")[2]
    ),
    gone=GONE,
)


def _make_issuer(call: ResourceCall) -> str:
    made = call.api.create_open_id_connect_provider(**call.body(), Tags=call.pairs())
    return str(made["OpenIDConnectProviderArn"])


def _read_issuer(call: ResourceCall) -> Reading:
    found = call.api.get_open_id_connect_provider(OpenIDConnectProviderArn=call.id)
    return Reading({**found, "Url": f"https://{found['Url']}"}, {"arn": call.id}, tag_map(found.get("Tags")))


def _change_audience(call: ResourceCall) -> None:
    before, wanted = set(call.olds.get("clientIdLists") or ()), set(call.inputs["clientIdLists"])
    where = {"OpenIDConnectProviderArn": call.id}
    for one in sorted(wanted - before):
        call.api.add_client_id_to_open_id_connect_provider(**where, ClientID=one)
    for one in sorted(before - wanted):
        call.api.remove_client_id_from_open_id_connect_provider(**where, ClientID=one)


def _find_issuer(call: ResourceCall) -> list[str]:
    host = str(call.inputs["url"]).removeprefix("https://")
    return [f"arn:aws:iam::{call.account.id}:oidc-provider/{host}"]


ISSUER = ResourceType(
    type="aws:iam/openIdConnectProvider:OpenIdConnectProvider",
    service="iam",
    cloudformation="AWS::IAM::OIDCProvider",
    properties={
        "url": text(required=True),
        "clientIdLists": unordered_list(required=True, api="ClientIDList", cfn="ClientIdList"),
        "thumbprintLists": items(computed=True, api="ThumbprintList", cfn="ThumbprintList"),
    },
    outputs=("arn",),
    identity=("url",),
    find=_find_issuer,
    create=_make_issuer,
    read=_read_issuer,
    changes=(
        Update(("clientIdLists",), _change_audience),
        Update(
            ("thumbprintLists",),
            lambda call: call.api.update_open_id_connect_provider_thumbprint(
                OpenIDConnectProviderArn=call.id, ThumbprintList=call.inputs["thumbprintLists"]
            ),
        ),
    ),
    delete=lambda call: call.api.delete_open_id_connect_provider(OpenIDConnectProviderArn=call.id),
    tag=tagger(
        "tag_open_id_connect_provider", "untag_open_id_connect_provider", "OpenIDConnectProviderArn", of="id"
    ),
    gone=GONE,
)

RESOURCES = (ROLE, ROLE_POLICY, ATTACHMENT, ISSUER)
