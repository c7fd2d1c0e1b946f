"""The `base` stack: where images and records of one service live, and the role that serves them.

Run by `ecomdeploy up`, or by `pulumi up` in this folder.
"""

from __future__ import annotations

import pulumi

from infra import program
from infra.components.bucket import Bucket
from infra.components.keys import EncryptionKey
from infra.components.registry import Registry
from infra.components.role import execution_role


def main() -> None:
    settings = program.settings()
    service = settings.text("service")
    name = f"{service}-{settings.environment}"
    project_tags = program.project_tags(settings, service)
    options = pulumi.ResourceOptions(provider=program.provider(settings))
    key = EncryptionKey(
        "key",
        project_tags=project_tags,
        alias=f"ecomdeploy-{name}",
        description=f"Images and records of {name}",
        opts=options,
    )
    registry = Registry(
        "registry",
        project_tags=project_tags,
        repository=name,
        key_arn=key.arn,
        empty_on_delete=True,
        opts=options,
    )
    bucket = Bucket(
        "bucket",
        project_tags=project_tags,
        bucket=settings.text("bucket"),
        key_arn=key.arn,
        exists=bool(settings.data.get("bucket_exists")),
        # On AWS the records outlive the stack: deleting a bucket that holds some is refused.
        empty_on_delete=settings.local,
        # The emulator ignores a policy's conditions and would deny every request.
        tls_only=not settings.local,
        partition=settings.partition,
        opts=options,
    )
    role = execution_role(
        "role",
        project_tags=project_tags,
        role_name=f"{name}-serving",
        repository_arn=registry.arn,
        region=settings.region,
        account=settings.account,
        partition=settings.partition,
        opts=options,
    )
    pulumi.export("repository_url", registry.url)
    pulumi.export("repository_name", registry.resources.repository.name)
    pulumi.export("bucket", bucket.bucket_name)
    pulumi.export("key_arn", key.arn)
    pulumi.export("role_arn", role.arn)


program.run(main)
