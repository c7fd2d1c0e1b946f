"""The `base` stack: where images and records of one service live, and the role that serves them.

Run by `ecomdeploy up`, or by `pulumi up` in this folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from infra import program
from infra.components.bucket import Bucket
from infra.components.governance.pipeline_roles import PipelineRoles
from infra.components.governance.spending_alert import SpendingAlert
from infra.components.keys import EncryptionKey
from infra.components.log_group import Logs
from infra.components.registry import Registry
from infra.components.role import execution_role, training_role
from infra.deployer.service import DeployerScope, find_issuer
from infra.deployer.state import keys_of, split_state
from infra.spec import BudgetSpec, PipelineAccessSpec
from infra.targets.catalog import targets


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
    train(settings, registry, key, options)
    if "log_days" in settings.data:
        group = targets().get(settings.text("target")).log_group(name)
        if group:
            days = settings.section("log_days", int)
            Logs("logs", project_tags=project_tags, group=group, days=days, opts=options)
        pulumi.export("log_group", group)
    govern(settings, service, options)
    pulumi.export("repository_url", registry.url)
    pulumi.export("repository_name", registry.resources.repository.name)
    pulumi.export("bucket", bucket.bucket_name)
    pulumi.export("key_arn", key.arn)
    pulumi.export("role_arn", role.arn)


def train(
    settings: program.Settings, registry: Registry, key: EncryptionKey, options: pulumi.ResourceOptions
) -> None:
    """The role of jobs that train the model, where it is not trained on the user's machine."""
    if not settings.data.get("training"):
        return
    service = settings.text("service")
    role = training_role(
        "training",
        project_tags=program.project_tags(settings, service),
        role_name=f"{service}-{settings.environment}-training",
        repository_arn=registry.arn,
        key_arn=key.arn,
        folder=f"{settings.text('bucket')}/{settings.text('training')}",
        region=settings.region,
        account=settings.account,
        partition=settings.partition,
        opts=options,
    )
    pulumi.export("training_role_arn", role.arn)


def govern(settings: program.Settings, service: str, options: pulumi.ResourceOptions) -> None:
    """What the account's governance asks for besides: a budget, and roles for a pipeline."""
    tags = program.project_tags(settings, service)
    if settings.data.get("monthly_budget"):
        SpendingAlert(
            "budget",
            project_tags=tags,
            budget_name=f"ecomdeploy-{service}-{settings.environment}",
            wanted=settings.section("monthly_budget", BudgetSpec),
            opts=options,
        )
    if settings.data.get("pipeline"):
        access = settings.section("pipeline", PipelineAccessSpec)
        PipelineRoles(
            "pipeline",
            project_tags=tags,
            access=access,
            scope=DeployerScope(
                service=service,
                pipeline=True,
                issuer=find_issuer(access.issuer) if access.make_provider else "",
                budget=bool(settings.data.get("monthly_budget")),
                network=bool(settings.data.get("network")),
                training=bool(settings.data.get("training")),
                environment=settings.environment,
                account=settings.account,
                region=settings.region,
                partition=settings.partition,
                **read_state(settings.data),
                boundaries=tuple(filter(None, [settings.data.get(program.BOUNDARY)])),
            ),
            opts=options,
        )


def read_state(told: Mapping[str, Any]) -> dict[str, Any]:
    """Where Pulumi's state is, and what encrypts it. A base of an earlier release was told the bucket alone."""
    bucket, prefix = split_state(str(told.get("state") or told.get("state_bucket") or ""))
    return {"state": bucket, "prefix": prefix, "secrets": keys_of(str(told.get("secrets") or ""))}


program.run(main)
