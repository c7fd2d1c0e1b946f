"""A private, versioned, encrypted S3 bucket."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi

from infra.component import Component, require
from infra.components.role import policy
from infra.tags import Tags

if TYPE_CHECKING:
    from pulumi_aws import s3

NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html"""


@dataclass(frozen=True, kw_only=True)
class BucketResources:
    """What a Bucket is made of. `bucket`: None when it was there before; `policy`: None if not asked for."""

    bucket: s3.Bucket | None
    versioning: s3.BucketVersioning
    encryption: s3.BucketServerSideEncryptionConfiguration
    access_block: s3.BucketPublicAccessBlock
    policy: s3.BucketPolicy | None


class Bucket(Component):
    """`exists`: the bucket was made beforehand (it holds this stack's own state); only its settings are
    governed, and it stays when the stack goes. `tls_only` adds a policy that denies plain HTTP.
    """

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        bucket: str,
        key_arn: pulumi.Input[str] | None = None,
        exists: bool = False,
        empty_on_delete: bool = False,
        tls_only: bool = True,
        partition: str = "aws",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        require(
            "Bucket", {f"bucket: not a bucket name: {bucket!r}": not NAME.fullmatch(bucket) or ".." in bucket}
        )
        super().__init__(name, project_tags=project_tags, opts=opts)
        made = None if exists else self._bucket(bucket, empty_on_delete)
        self.bucket_name: pulumi.Output[str] = (
            pulumi.Output.from_input(bucket) if made is None else made.bucket
        )
        self.resources = self._settings(made, bucket, key_arn, partition if tls_only else "")
        self.register_outputs({"bucket": self.bucket_name})

    def _bucket(self, bucket: str, empty_on_delete: bool) -> s3.Bucket:
        from pulumi_aws import s3

        return s3.Bucket(
            self.name, bucket=bucket, force_destroy=empty_on_delete, tags=self.tags(), opts=self.options()
        )

    def _settings(
        self, made: s3.Bucket | None, bucket: str, key_arn: pulumi.Input[str] | None, partition: str
    ) -> BucketResources:
        from pulumi_aws import s3

        versioning = s3.BucketVersioning(
            self.child("versioning"),
            bucket=self.bucket_name,
            versioning_configuration={"status": "Enabled"},
            opts=self.options(),
        )
        encryption = s3.BucketServerSideEncryptionConfiguration(
            self.child("encryption"),
            bucket=self.bucket_name,
            rules=[
                {
                    "apply_server_side_encryption_by_default": (
                        {"sse_algorithm": "aws:kms", "kms_master_key_id": key_arn}
                        if key_arn
                        else {"sse_algorithm": "AES256"}
                    ),
                    "bucket_key_enabled": key_arn is not None,
                }
            ],
            opts=self.options(),
        )
        block = s3.BucketPublicAccessBlock(
            self.child("private"),
            bucket=self.bucket_name,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=self.options(),
        )
        rule = None
        if partition:
            rule = s3.BucketPolicy(
                self.child("tls-only"),
                bucket=self.bucket_name,
                policy=tls_only_policy(bucket, partition),
                # S3 answers 409 when both are set at once.
                opts=self.options(depends_on=[block]),
            )
        return BucketResources(
            bucket=made, versioning=versioning, encryption=encryption, access_block=block, policy=rule
        )


def tls_only_policy(bucket: str, partition: str) -> str:
    """Deny everything that does not come by TLS."""
    arn = f"arn:{partition}:s3:::{bucket}"
    return policy(
        {
            "Sid": "DenyInsecureTransport",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [arn, f"{arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    )
