"""What the roles that `ci init roles` writes may do, and what the local cloud saw done, in IAM's words."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from pathlib import Path
from typing import Any

POLICIES = {"plan": ("Reading",), "deploy": ("Reading", "Shipping")}
SERVICES = {
    "monitoring": "cloudwatch",
    "runtime.sagemaker": "sagemaker",
    "sagemaker-runtime": "sagemaker",
    "tagging": "tag",
}
ACTIONS = {
    # docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
    "s3:HeadBucket": "s3:ListBucket",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:DeleteBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:DeletePublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:DeleteObjects": "s3:DeleteObject",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    # docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html
    "registry:GET": "ecr:BatchGetImage",
    "registry:HEAD": "ecr:BatchGetImage",
    "registry:POST": "ecr:InitiateLayerUpload",
    "registry:PUT": "ecr:PutImage",
}
FREE = frozenset({"sts:GetCallerIdentity"})
"""What no policy needs to allow."""


def allowed_actions(template: Path, role: str) -> set[str]:
    """Actions, some with a `*`, of the role "plan" or "deploy"."""
    from cfnlint.decode import decode

    document: Any = decode(str(template))[0]
    found: set[str] = set()
    for name in POLICIES[role]:
        for statement in document["Resources"][name]["Properties"]["PolicyDocument"]["Statement"]:
            action = statement["Action"]
            found |= {action} if isinstance(action, str) else set(action)
    return found


def find_refused(operations: Iterable[str], allowed: set[str]) -> list[str]:
    """Operations that the actions do not allow."""
    refused = []
    for operation in sorted(operations):
        service, _, name = operation.partition(":")
        action = ACTIONS.get(operation, f"{SERVICES.get(service, service)}:{name}")
        if action not in FREE and not any(fnmatch.fnmatchcase(action, one) for one in allowed):
            refused.append(operation)
    return refused
