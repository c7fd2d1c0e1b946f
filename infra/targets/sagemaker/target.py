"""SageMaker as a target. Stays light: Pulumi and botocore are imported when a side is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from infra.targets.base import Declared, Provisioned, Service, Target, Traffic


class SageMaker(Target):
    """One endpoint per service, a model and a configuration per release.

    Nothing of a release runs before traffic is shifted to it, so a roll back takes as long as starting
    servers does: minutes on AWS.
    """

    name = "sagemaker"
    lacks: ClassVar[Mapping[str, str]] = {
        "scale-to-zero": "an endpoint of this kind keeps at least one instance",
        "several-models": "one endpoint serves one release",
    }

    def resources(self, service: Service, releases: Sequence[Declared], opts: Any = None) -> Provisioned:
        from infra.targets.sagemaker.resources import provision

        return provision(service, releases, opts)

    def traffic(self, environment: Mapping[str, str]) -> Traffic:
        from infra.aws_session import AwsSession
        from infra.targets.sagemaker.traffic import SageMakerTraffic

        return SageMakerTraffic(AwsSession(environment))
