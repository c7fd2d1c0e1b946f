"""Amazon S3: bucket and the settings that pulumi-aws 7 keeps in resources of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from infra.bucket_contents import empty_bucket
from infra.rehearsal.providers.aws.property_types import flag, policy, text, thing, unordered_list
from infra.rehearsal.providers.aws.resource import Reading, ResourceCall, ResourceType, Update
from infra.tags import tag_map

SOURCE = "internal/service/s3/"


def _create_bucket(call: ResourceCall) -> str:
    name: str = call.inputs["bucket"]
    where = {"CreateBucketConfiguration": {"LocationConstraint": call.account.region}}
    call.api.create_bucket(Bucket=name, **({} if call.account.region == "us-east-1" else where))
    return name


def _read_bucket(call: ResourceCall) -> Reading:
    name, region = call.id, call.account.region
    call.api.head_bucket(Bucket=name)
    return Reading(
        {"Bucket": name},
        {
            "arn": f"arn:{call.account.partition}:s3:::{name}",
            "bucketDomainName": f"{name}.s3.amazonaws.com",
            "bucketRegionalDomainName": f"{name}.s3.{region}.amazonaws.com",
            "bucketRegion": region,
        },
        _tags(call),
    )


def _tags(call: ResourceCall) -> dict[str, str]:
    from botocore.exceptions import ClientError

    try:
        return tag_map(call.api.get_bucket_tagging(Bucket=call.id)["TagSet"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchTagSet":
            raise
        return {}


def _tag_bucket(call: ResourceCall, add: dict[str, str], drop: list[str]) -> None:
    kept = {key: value for key, value in {**_tags(call), **add}.items() if key not in drop}
    if kept:
        call.api.put_bucket_tagging(
            Bucket=call.id, Tagging={"TagSet": [{"Key": key, "Value": kept[key]} for key in sorted(kept)]}
        )
    else:
        call.api.delete_bucket_tagging(Bucket=call.id)


def _delete_bucket(call: ResourceCall) -> None:
    if call.inputs.get("forceDestroy"):
        empty_bucket(call.api, call.id)
    call.api.delete_bucket(Bucket=call.id)


BUCKET = ResourceType(
    type="aws:s3/bucket:Bucket",
    service="s3",
    cloudformation="AWS::S3::Bucket",
    properties={"bucket": text(cfn="BucketName"), "forceDestroy": flag(default=False, local=True)},
    outputs=("arn", "bucketDomainName", "bucketRegionalDomainName", "bucketRegion"),
    identity=("bucket",),
    name="bucket",
    name_form=("", 63),
    create=_create_bucket,
    finish=lambda call: _tag_bucket(call, call.tags, []) if call.tags else None,
    read=_read_bucket,
    delete=_delete_bucket,
    tag=_tag_bucket,
    tagged_after=True,
    gone=("404", "NoSuchBucket"),
)


def _setting(
    name: str,
    properties: dict[str, Any],
    source: str,
    put: Callable[[ResourceCall], object],
    read: Callable[[ResourceCall], dict[str, Any]],
    delete: Callable[[ResourceCall], object],
    gone: tuple[str, ...],
) -> ResourceType:
    """A resource that is one setting of a bucket; its id is the bucket's name."""

    def create(call: ResourceCall) -> str:
        put(call)
        return str(call.inputs["bucket"])

    return ResourceType(
        type=f"aws:s3/{name[:1].lower()}{name[1:]}:{name}",
        service="s3",
        properties={"bucket": text(required=True, replaces=True, source=SOURCE + source), **properties},
        identity=("bucket",),
        create=create,
        read=lambda call: Reading({"Bucket": call.id, **read(call)}),
        delete=delete,
        changes=(Update(tuple(properties), put),),
        gone=("NoSuchBucket", *gone),
    )


def _put_encryption(call: ResourceCall) -> None:
    call.api.put_bucket_encryption(
        Bucket=call.inputs["bucket"], ServerSideEncryptionConfiguration=call.body("rules")
    )


ENCRYPTION = _setting(
    "BucketServerSideEncryptionConfiguration",
    {
        "rules": unordered_list(
            {
                "applyServerSideEncryptionByDefault": thing(
                    {
                        "sseAlgorithm": text(required=True, api="SSEAlgorithm"),
                        "kmsMasterKeyId": text(api="KMSMasterKeyID"),
                    }
                ),
                "bucketKeyEnabled": flag(computed=True),
            },
            required=True,
        )
    },
    "bucket_server_side_encryption_configuration.go",
    _put_encryption,
    lambda call: call.api.get_bucket_encryption(Bucket=call.id)["ServerSideEncryptionConfiguration"],
    lambda call: call.api.delete_bucket_encryption(Bucket=call.id),
    ("ServerSideEncryptionConfigurationNotFoundError",),
)

ACCESS_BLOCK = _setting(
    "BucketPublicAccessBlock",
    {
        name: flag(default=False)
        for name in ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
    },
    "bucket_public_access_block.go",
    lambda call: call.api.put_public_access_block(
        Bucket=call.inputs["bucket"], PublicAccessBlockConfiguration=call.body(without=("bucket",))
    ),
    lambda call: call.api.get_public_access_block(Bucket=call.id)["PublicAccessBlockConfiguration"],
    lambda call: call.api.delete_public_access_block(Bucket=call.id),
    ("NoSuchPublicAccessBlockConfiguration",),
)


def _read_versioning(call: ResourceCall) -> dict[str, Any]:
    answer = call.api.get_bucket_versioning(Bucket=call.id)
    return {"VersioningConfiguration": {"Status": answer.get("Status", "Disabled")}}


VERSIONING = replace(
    _setting(
        "BucketVersioning",
        {"versioningConfiguration": thing({"status": text(required=True)}, required=True)},
        "bucket_versioning.go",
        lambda call: call.api.put_bucket_versioning(
            Bucket=call.inputs["bucket"], **call.body("versioningConfiguration")
        ),
        _read_versioning,
        lambda call: call.api.put_bucket_versioning(
            Bucket=call.id, VersioningConfiguration={"Status": "Suspended"}
        ),
        (),
    ),
    lingers=True,
)

POLICY = _setting(
    "BucketPolicy",
    {"policy": policy(required=True)},
    "bucket_policy.go",
    lambda call: call.api.put_bucket_policy(Bucket=call.inputs["bucket"], Policy=call.inputs["policy"]),
    lambda call: {"Policy": call.api.get_bucket_policy(Bucket=call.id)["Policy"]},
    lambda call: call.api.delete_bucket_policy(Bucket=call.id),
    ("NoSuchBucketPolicy",),
)

RESOURCES = (BUCKET, ENCRYPTION, ACCESS_BLOCK, VERSIONING, POLICY)
