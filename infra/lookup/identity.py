"""IAM and KMS."""

from __future__ import annotations

from collections.abc import Iterable

from infra.aws_session import AwsSession
from infra.lookup.base import PendingCreate
from infra.lookup.row import GONE, LookupRow, ask
from infra.tags import tag_map


def find_role(session: AwsSession, wanted: PendingCreate) -> Iterable[str]:
    name = wanted.text("name")
    found = ask(session.client("iam").get_role, RoleName=name)
    if found and wanted.owns(tag_map(found["Role"].get("Tags"))):
        yield name


def find_role_policy(session: AwsSession, wanted: PendingCreate) -> Iterable[str]:
    role, name = wanted.text("role"), wanted.text("name")
    if ask(session.client("iam").get_role_policy, RoleName=role, PolicyName=name):
        yield f"{role}:{name}"


def find_attachment(session: AwsSession, wanted: PendingCreate) -> Iterable[str]:
    role, arn = wanted.text("role"), wanted.text("policyArn")
    iam = session.client("iam")
    if ask(iam.get_role, RoleName=role) is None:
        return
    for page in iam.get_paginator("list_attached_role_policies").paginate(RoleName=role):
        if any(each["PolicyArn"] == arn for each in page["AttachedPolicies"]):
            yield f"{role}/{arn}"


def find_issuer(session: AwsSession, wanted: PendingCreate) -> Iterable[str]:
    """An account has one an issuer, and its ARN follows from that."""
    iam, host = session.client("iam"), wanted.text("url").removeprefix("https://")
    for each in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]:
        arn = str(each["Arn"])
        if host and arn.endswith(f":oidc-provider/{host}"):
            found = ask(iam.get_open_id_connect_provider, OpenIDConnectProviderArn=arn)
            if found and wanted.owns(tag_map(found.get("Tags"))):
                yield arn


def find_key(session: AwsSession, wanted: PendingCreate) -> Iterable[str]:
    """KMS has no search by tag, and the tagging API lags behind; so every key is looked at.

    One whose policy does not let us see its tags is not ours: a key that we make lets the account decide.
    """
    kms = session.client("kms")
    if not wanted.mark:
        return
    for page in kms.get_paginator("list_keys").paginate():
        for key in page["Keys"]:
            tags = ask(kms.list_resource_tags, absent=GONE | {"AccessDeniedException"}, KeyId=key["KeyId"])
            if tags is None or not wanted.owns(tag_map(tags["Tags"], "TagKey", "TagValue")):
                continue
            if "Deletion" not in kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"]:
                yield key["KeyId"]


def find_alias(session: AwsSession, wanted: PendingCreate) -> Iterable[str]:
    key = wanted.text("targetKeyId").rpartition("/")[2]
    for page in session.client("kms").get_paginator("list_aliases").paginate():
        for alias in page["Aliases"]:
            if alias["AliasName"] == wanted.text("name") and alias.get("TargetKeyId") == key:
                yield alias["AliasName"]


ROWS = (
    LookupRow("aws:iam/role:Role", "by its name, and then its tags", find_role),
    LookupRow("aws:iam/rolePolicy:RolePolicy", "no tags: by its name, in its role", find_role_policy),
    LookupRow(
        "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        "no tags: by its policy, in its role",
        find_attachment,
    ),
    LookupRow(
        "aws:iam/openIdConnectProvider:OpenIdConnectProvider", "by its issuer, and then its tags", find_issuer
    ),
    LookupRow("aws:kms/key:Key", "by its tags, key by key; not one that is to be deleted", find_key),
    LookupRow("aws:kms/alias:Alias", "no tags: by its name, if it leads to the wanted key", find_alias),
)
