"""Which driver an environment is deployed with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from modelpack.errors import EcomdeployError

if TYPE_CHECKING:
    from infra.aws_session import AwsSession
    from stacks.pulumi_driver.automation import AutomationDriver
    from stacks.spec import Spec


def make_driver(
    spec: Spec, folder: Path, session: AwsSession, state_bucket: tuple[str, str]
) -> AutomationDriver:
    """The embedded engine locally (the Pulumi CLI with ECOMDEPLOY_DRIVER=pulumi); the CLI on AWS.

    `folder`: where local state lies; `state_bucket`: bucket and key prefix of state on AWS.
    """
    from cli.placed.embedded import EmbeddedPulumi
    from infra.lookup.aws import AwsLookup
    from stacks.pulumi_driver.automation import AutomationDriver, real_cli
    from stacks.secrets import read_secrets

    local = spec.environment.cloud == "local"
    confidential = read_secrets(spec, os.environ).values
    wanted = os.environ.get("ECOMDEPLOY_DRIVER") or ("embedded" if local else "pulumi")
    if wanted == "embedded" and local:
        engine = EmbeddedPulumi(folder, session.environment, session.loader)
        return AutomationDriver(
            "embedded engine",
            "embedded",
            folder,
            folder.as_uri(),
            session.environment,
            engine.command,
            AwsLookup(session),
            confidential=confidential,
            is_as_left=engine.is_as_left,
        )
    if wanted != "pulumi":
        raise EcomdeployError(
            f"ECOMDEPLOY_DRIVER={wanted} does not go with cloud: {spec.environment.cloud}",
            hint="ECOMDEPLOY_DRIVER=pulumi, or leave it out",
        )
    backend = folder.as_uri() if local else "s3://" + "/".join(state_bucket).rstrip("/")
    secrets = spec.environment.secrets
    return AutomationDriver(
        "Pulumi CLI",
        "pulumi",
        folder,
        backend,
        session.environment,
        real_cli,
        AwsLookup(session),
        secrets,
        confidential,
        has_state=None if local else lambda: has_state(session, state_bucket),
    )


def make_cluster_driver(spec: Spec, folder: Path, environment: Mapping[str, str]) -> AutomationDriver:
    """The embedded engine, or the Pulumi CLI with ECOMDEPLOY_DRIVER=pulumi; the state of both lies in `folder`.

    `environment`: says where the cluster is.
    """
    from cli.placed.embedded import EmbeddedPulumi
    from infra.lookup.cluster import ClusterLookup
    from stacks.pulumi_driver.automation import AutomationDriver, real_cli
    from stacks.secrets import read_secrets

    confidential = read_secrets(spec, os.environ).values
    engine = EmbeddedPulumi(folder, environment)
    made = AutomationDriver(
        "embedded engine",
        "embedded",
        folder,
        folder.as_uri(),
        environment,
        engine.command,
        ClusterLookup(),
        confidential=confidential,
        is_as_left=engine.is_as_left,
    )
    if os.environ.get("ECOMDEPLOY_DRIVER") == "pulumi":
        return replace(made, name="Pulumi CLI", kind="pulumi", command=real_cli, is_as_left=None)
    return made


def has_state(session: AwsSession, state_bucket: tuple[str, str]) -> bool:
    """Whether the bucket has Pulumi's state; asked without making any."""
    from infra.aws_session import holds_object

    bucket, prefix = state_bucket
    return holds_object(session, bucket, f"{prefix}.pulumi/meta.yaml")
