"""SageMaker as a target. Stays light: Pulumi and botocore are imported when a side is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from infra.capabilities import Capability
from infra.hosts import Hosts
from infra.targets.base import Declared, Provisioned, Service, Target, Traffic

if TYPE_CHECKING:
    from infra.aws_session import AwsSession


class SageMaker(Target):
    """One endpoint per service. A release's revision is an endpoint configuration with a model of its own.

    Nothing of a release runs before traffic is shifted to it, so a roll back takes as long as starting servers does:
    minutes on AWS.
    """

    name = "sagemaker"
    lacks: ClassVar[Mapping[Capability, str]] = {
        Capability.SCALE_TO_ZERO: "an endpoint of this kind keeps at least one instance",
        Capability.CANARY_STEPS: "its guardrails move one share and then everything; strategy: linear has more steps",
        Capability.NAMESPACES: "its endpoints are an account's and a region's",
        Capability.CLUSTERS: "its endpoints are AWS's own; serve.target: kserve runs there",
    }

    def log_group(self, endpoint: str) -> str:
        from infra.targets.sagemaker.names import log_group

        return log_group(endpoint)

    def hosts(self) -> Hosts:
        from infra.targets.sagemaker.hosts import hosts

        return hosts()

    def resources(self, service: Service, releases: Sequence[Declared], opts: Any = None) -> Provisioned:
        from infra.targets.sagemaker.resources import provision

        return provision(service, releases, opts)

    def traffic(self, environment: Mapping[str, str], session: AwsSession | None = None) -> Traffic:
        from infra.aws_session import AwsSession
        from infra.targets.sagemaker.traffic import SageMakerTraffic

        return SageMakerTraffic(session or AwsSession(environment))
