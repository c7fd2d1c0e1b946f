"""What every deployer needs, of a service or of the platform: Pulumi's state in a bucket that many share, and a key.

A state bucket is shared by the services of a team; each has its own objects in it, and may write no others'. Where the
objects are: Pulumi's of a stack by project and stack (pulumi/pulumi, pkg/backend/diy: `.pulumi/stacks`, `history`,
`backups`, `locks/organization`), ours below the service's name and below `platforms/`. What cannot be parted: the names
of all objects are listed, and the bucket itself is made by whoever comes first.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Statement = Mapping[str, Any]


def allow(
    sid: str, action: str | list[str], resource: str | list[str], condition: Mapping[str, Any] | None = None
) -> Statement:
    only = {"Condition": condition} if condition else {}
    return {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resource, **only}


def split_state(url: str) -> tuple[str, str]:
    """Bucket and prefix of `s3://BUCKET/PREFIX`, as DeployerPlace has them."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    return bucket, f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""


def keys_of(secrets: str) -> tuple[str, ...]:
    """The KMS key of `awskms://alias/NAME?region=REGION`, `awskms://ID` or `awskms:///ARN`, as DeployerPlace has it."""
    found = secrets.removeprefix("awskms://").partition("?")[0].strip("/")
    return (found,) if found else ()


@dataclass(frozen=True, kw_only=True)
class DeployerPlace(abc.ABC):
    """One environment of one account. `state`: the bucket of Pulumi's state, "" on the local cloud; `prefix`: below
    which key in it, with a slash at its end, or ""; `secrets`: the KMS keys that encrypt what is secret in that state,
    each as "alias/NAME" or as an id; `boundaries`: permissions boundaries, one of which a role must have that is made
    or changed (none: any, or none).
    """

    environment: str
    account: str
    region: str
    partition: str = "aws"
    state: str = ""
    prefix: str = ""
    secrets: tuple[str, ...] = ()
    boundaries: tuple[str, ...] = ()

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """What all its names begin with."""

    @property
    @abc.abstractmethod
    def project(self) -> str:
        """The value of the tag `ecomdeploy:project` on what it makes."""

    @property
    @abc.abstractmethod
    def stacks(self) -> tuple[tuple[str, str], ...]:
        """Pulumi's projects, each with its stack."""

    def arn(self, service: str, resource: str) -> str:
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    @property
    def state_objects(self) -> str:
        return f"arn:{self.partition}:s3:::{self.state}/{self.prefix}"

    @property
    def own_state(self) -> list[str]:
        """Objects of the state bucket that are nobody else's."""
        pulumi = f"{self.state_objects}.pulumi"
        found = [f"{self.state_objects}{self.name}/*"]
        for project, stack in self.stacks:
            # A `*` goes over slashes: history, backups and locks/organization.
            found += [f"{pulumi}/stacks/{project}/{stack}.json*", f"{pulumi}/*/{project}/{stack}/*"]
        return found

    def list_tags(self, of: str) -> Mapping[str, str]:
        """The tags of what is ours, as keys of a condition; `of`: "ResourceTag" or "RequestTag"."""
        head = f"aws:{of}/ecomdeploy:"
        return {f"{head}project": self.project, f"{head}environment": self.environment}

    @property
    def own(self) -> Mapping[str, Any]:
        """A condition: what is there carries our tags."""
        return {"StringEquals": self.list_tags("ResourceTag")}

    @property
    def alias(self) -> str:
        return f"alias/ecomdeploy-{self.name}"

    def use_keys(self, sid: str, actions: list[str]) -> list[Statement]:
        """Encrypting and decrypting with the key of our own, and with the state's."""
        aliases = [self.alias, *(one for one in self.secrets if one.startswith("alias/"))]
        ids = [
            self.arn("kms", f"key/{one}") for one in self.secrets if not one.startswith(("alias/", "arn:"))
        ]
        ids += [one for one in self.secrets if one.startswith("arn:")]
        named = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": aliases}}
        return [allow(sid, actions, "*", named), *([allow(f"{sid}State", actions, ids)] if ids else [])]

    def keep_key(self, alias: str) -> list[Statement]:
        """A key of our own is made and named, and no other becomes ours by a tag.

        `alias`: its ARN. Tags given at CreateKey need a right that is bound to no key
        (https://docs.aws.amazon.com/kms/latest/developerguide/tag-permissions.html). Such a key has no tags and no
        alias, and conditions on what is not there hold with `IfExists` and `ForAllValues`: so nobody's key that has
        either is tagged. One that has neither could be.
        """
        unnamed = {
            "StringEquals": self.list_tags("RequestTag"),
            "StringEqualsIfExists": {"aws:ResourceTag/ecomdeploy:project": self.project},
            "ForAllValues:StringEquals": {"kms:ResourceAliases": [self.alias]},
        }
        made = {"StringEquals": self.list_tags("RequestTag")}
        for_aws = {"Bool": {"kms:GrantIsForAWSResource": "true"}, **self.own}
        kept = ["kms:EnableKeyRotation", "kms:TagResource", "kms:UntagResource"]
        return [
            allow("MakeKey", "kms:CreateKey", "*", made),
            allow("TagNewKey", "kms:TagResource", "*", unnamed),
            allow("KeepKey", kept, "*", self.own),
            allow("NameKey", "kms:CreateAlias", self.arn("kms", "key/*"), self.own),
            allow("Alias", "kms:CreateAlias", alias),
            *self.use_keys("Encrypt", ["kms:Encrypt", "kms:GenerateDataKey"]),
            # ECR's and EKS's own, for what they keep under the key.
            allow("Grant", "kms:CreateGrant", "*", for_aws),
        ]

    def remove_key(self, alias: str) -> list[Statement]:
        return [
            allow("Alias", "kms:DeleteAlias", alias),
            allow("Key", ["kms:DeleteAlias", "kms:ScheduleKeyDeletion"], self.arn("kms", "key/*"), self.own),
        ]


def list_state_reading(place: DeployerPlace) -> list[Statement]:
    """Of the platform everybody reads who uses it, and what its state gives."""
    if not place.state:
        return []
    head, environment = place.state_objects, place.environment
    shared = [
        f"{head}.pulumi/meta.yaml",
        f"{head}.pulumi/stacks/ecomdeploy-platform/{environment}.json*",
        f"{head}platforms/{environment}/*",
    ]
    bucket = f"arn:{place.partition}:s3:::{place.state}"
    looks = ["s3:GetBucketLocation", "s3:GetBucketTagging", "s3:ListBucket"]
    return [
        allow("State", "s3:GetObject", list(dict.fromkeys([*place.own_state, *shared]))),
        allow("StateBucket", looks, bucket),
    ]


def list_state_shipping(place: DeployerPlace) -> list[Statement]:
    if not place.state:
        return []
    bucket = f"arn:{place.partition}:s3:::{place.state}"
    makes = ["CreateBucket", "PutBucketPublicAccessBlock", "PutBucketTagging", "PutBucketVersioning"]
    return [
        # The last, Pulumi's note of the form of its state, whoever comes first to the bucket.
        allow(
            "State",
            ["s3:DeleteObject", "s3:PutObject"],
            [*place.own_state, f"{place.state_objects}.pulumi/meta.yaml"],
        ),
        allow("StateBucket", [f"s3:{one}" for one in makes], bucket),
    ]
