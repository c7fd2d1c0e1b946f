"""What Pulumi owns at SageMaker: a Model and a configuration per release, one Endpoint, scaling, alarms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pulumi

from infra.component import Component, require
from infra.components.alarms import Alarms, ReleaseAlarms
from infra.components.autoscaling import Autoscaling
from infra.components.hosting_rights import CAPTURED, HostingRights, RoleAccount, rights_policy
from infra.components.role import reading_policy
from infra.components.secrets import Secrets
from infra.components.step_scaling import StepScaling
from infra.hosting import CaptureSpec, HostingOptions
from infra.secrets import own_parameters
from infra.tags import Tags
from infra.targets.base import Declared, Provisioned, Service
from infra.targets.initial import initial_release
from infra.targets.sagemaker.hosts import hosts
from infra.targets.sagemaker.names import VARIANT, check, configuration_name, model_name
from modelpack.errors import BadInput
from modelpack.server.metric_names import RELEASE

if TYPE_CHECKING:
    from pulumi_aws import sagemaker


MODES = {"requests": "Input", "answers": "Output"}
AS_TEXT = ("application/json", "application/jsonlines")
"""Kept as they are, where others are kept in base64."""
UNKNOWN_BUCKET = "not-there-yet"
UNKNOWN_ROLE = "arn:aws:iam::000000000000:role/not-there-yet"
"""Stands for the role in a preview made before the base stack exists."""


@dataclass(frozen=True, kw_only=True)
class RevisionResources:
    """What a Revision is made of."""

    model: sagemaker.Model
    configuration: sagemaker.EndpointConfiguration


class Revision(Component):
    """One release, dark: a Model, and the configuration that an endpoint can be put on. `bucket`: the service's own,
    where requests are kept if they are."""

    type_name: ClassVar[str] = "Release"

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        endpoint: str,
        role_arn: str,
        release: Declared,
        bucket: str = "",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        require(
            f"Release {release.key}",
            {
                f"image: must be given by digest (...@sha256:...), got {release.image}": "@sha256:"
                not in release.image,
                f"count: at least 1, got {release.count}": release.count < 1,
            },
        )
        hosts().instance(release.instance)
        super().__init__(name, project_tags=project_tags, opts=opts)
        self.resources = self._create(endpoint, role_arn, release, bucket)
        self.register_outputs({"configuration": self.resources.configuration.name})

    def _create(self, endpoint: str, role_arn: str, release: Declared, bucket: str) -> RevisionResources:
        from pulumi_aws import sagemaker

        hosting = release.hosting
        model = sagemaker.Model(
            self.child("model"),
            name=check(model_name(endpoint, role_arn, release)),
            execution_role_arn=role_arn,
            primary_container=sagemaker.ModelPrimaryContainerArgs(
                image=release.image, environment=variables(endpoint, role_arn, release) or None
            ),
            enable_network_isolation=hosting.isolated or None,
            vpc_config=vpc_config(hosting),
            tags=self.tags("model"),
            opts=self.options(),
        )
        configuration = sagemaker.EndpointConfiguration(
            self.child("configuration"),
            name=check(configuration_name(endpoint, role_arn, release)),
            production_variants=[
                sagemaker.EndpointConfigurationProductionVariantArgs(
                    variant_name=VARIANT,
                    model_name=model.name,
                    instance_type=release.instance,
                    initial_instance_count=release.count,
                    initial_variant_weight=1.0,
                    inference_ami_version=release.host_image or None,
                    container_startup_health_check_timeout_in_seconds=hosting.startup_timeout,
                    model_data_download_timeout_in_seconds=hosting.download_timeout,
                )
            ],
            kms_key_arn=hosting.volume_key,
            data_capture_config=capture_config(hosting.capture, endpoint, bucket),
            tags=self.tags("configuration"),
            opts=self.options(),
        )
        return RevisionResources(model=model, configuration=configuration)


@dataclass(frozen=True, kw_only=True)
class ServingEndpointResources:
    """What a ServingEndpoint is made of."""

    endpoint: sagemaker.Endpoint


class ServingEndpoint(Component):
    """The Endpoint. Its configuration is the rollout's: Pulumi sets the first, and no other."""

    type_name: ClassVar[str] = "Route"

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        endpoint: str,
        configuration: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        check(endpoint)
        super().__init__(name, project_tags=project_tags, opts=opts)
        self.resources = self._create(endpoint, configuration)
        self.endpoint_name: pulumi.Output[str] = self.resources.endpoint.name
        self.register_outputs({"endpoint": self.endpoint_name})

    def _create(self, endpoint: str, configuration: pulumi.Input[str]) -> ServingEndpointResources:
        from pulumi_aws import sagemaker

        return ServingEndpointResources(
            endpoint=sagemaker.Endpoint(
                self.name,
                name=endpoint,
                endpoint_config_name=configuration,
                tags=self.tags(),
                opts=self.options(ignore_changes=["endpointConfigName", "deploymentConfig"]),
            )
        )


def provision(
    service: Service, releases: Sequence[Declared], opts: pulumi.ResourceOptions | None = None
) -> Provisioned:
    """Declare all releases and, when there is one to serve, the endpoint with its scaling and alarms."""
    first = initial_release(releases)
    if first is None:
        return Provisioned(endpoint="", revisions={}, alarms=())
    role_arn = role_of(service)
    secrets = declare_secrets(service, releases, role_arn, opts)
    rights = declare_rights(service, releases, role_arn, opts)
    made = {
        release.key: Revision(
            f"release-{release.key}",
            project_tags=service.project_tags,
            endpoint=service.endpoint,
            role_arn=role_arn,
            release=release,
            bucket=str(service.base.get("bucket") or UNKNOWN_BUCKET),
            opts=opts,
        )
        for release in releases
    }
    # The rollout may have put the endpoint on any of them, so it goes before they do.
    under = [part for one in made.values() for part in (one.resources.model, one.resources.configuration)]
    after = pulumi.ResourceOptions(depends_on=[*under, *filter(None, (secrets, rights))])
    alarms = declare_endpoint(service, made[first.key], pulumi.ResourceOptions.merge(opts, after))
    watched = [release for release in releases if not release.stopped]
    return Provisioned(
        endpoint=service.endpoint,
        revisions={key: one.resources.configuration.name for key, one in made.items()},
        alarms=alarms.names,
        release_alarms={
            one.key: declare_release_alarms(service, one, role_arn, alarms, opts).names for one in watched
        },
    )


def variables(endpoint: str, role_arn: str, release: Declared) -> dict[str, str]:
    """Of the release's servers. Where they count by guardrails, also by what name their metrics know the release: it is
    no part of the Model's own name, for it follows from that."""
    told = {RELEASE: configuration_name(endpoint, role_arn, release)} if release.guardrails else {}
    return {**release.environment, **told}


def declare_release_alarms(
    service: Service,
    release: Declared,
    role_arn: str,
    alarms: Alarms,
    opts: pulumi.ResourceOptions | None,
) -> ReleaseAlarms:
    """The alarms on what one release answers alone."""
    return ReleaseAlarms(
        f"alarms-{release.key}",
        project_tags=service.project_tags,
        prefix=f"{service.endpoint}-{release.key}",
        endpoint=service.endpoint,
        variant=VARIANT,
        configuration=configuration_name(service.endpoint, role_arn, release),
        alarms=service.alarms,
        limits=service.alarms.limits(release.guardrails),
        told=alarms.told,
        opts=opts,
    )


def declare_secrets(
    service: Service, releases: Sequence[Declared], role_arn: str, opts: pulumi.ResourceOptions | None
) -> Secrets | None:
    """The parameters that releases refer to, and the role's right to read; None where nothing is secret."""
    environments = [release.environment for release in releases]
    reading = reading_policy(environments, service.region, service.account, service.partition)
    if not reading:
        return None
    return Secrets(
        "secrets",
        project_tags=service.project_tags,
        parameters={name for one in environments for name in own_parameters(one)},
        values=service.confidential,
        role_name=role_arn.rpartition("/")[2],
        reading=reading,
        opts=opts,
    )


def declare_rights(
    service: Service, releases: Sequence[Declared], role_arn: str, opts: pulumi.ResourceOptions | None
) -> HostingRights | None:
    """The role's rights to what the releases' options need; None where they need none."""
    where = RoleAccount(
        region=service.region,
        account=service.account,
        partition=service.partition,
        bucket=str(service.base.get("bucket") or UNKNOWN_BUCKET),
        key_arn=str(service.base.get("key_arn") or ""),
    )
    document = rights_policy([release.hosting for release in releases], where)
    if not document:
        return None
    return HostingRights(
        "hosting",
        project_tags=service.project_tags,
        role_name=role_arn.rpartition("/")[2],
        document=document,
        opts=opts,
    )


def vpc_config(hosting: HostingOptions) -> sagemaker.ModelVpcConfigArgs | None:
    from pulumi_aws import sagemaker

    network = hosting.placed
    if network is None:
        return None
    return sagemaker.ModelVpcConfigArgs(
        subnets=list(network.subnets), security_group_ids=list(network.security_groups)
    )


def capture_config(
    capture: CaptureSpec | None, endpoint: str, bucket: str
) -> sagemaker.EndpointConfigurationDataCaptureConfigArgs | None:
    """SageMaker adds the endpoint, the variant and the hour to the place."""
    from pulumi_aws import sagemaker

    if capture is None:
        return None
    return sagemaker.EndpointConfigurationDataCaptureConfigArgs(
        enable_capture=True,
        initial_sampling_percentage=capture.percent,
        destination_s3_uri=f"s3://{bucket}/{CAPTURED}",
        kms_key_id=capture.key,
        capture_options=[
            sagemaker.EndpointConfigurationDataCaptureConfigCaptureOptionArgs(capture_mode=MODES[one])
            for one in capture.of
        ],
        capture_content_type_header=sagemaker.EndpointConfigurationDataCaptureConfigCaptureContentTypeHeaderArgs(
            json_content_types=list(AS_TEXT), csv_content_types=["text/csv"]
        ),
    )


def role_of(service: Service) -> str:
    """As whom SageMaker fetches the image and serves: the base stack's role."""
    if role := service.base.get("role_arn"):
        return str(role)
    if pulumi.runtime.is_dry_run():
        return UNKNOWN_ROLE
    raise BadInput("settings: base: role_arn is missing", hint="`ecomdeploy up` writes the settings")


def declare_endpoint(service: Service, first: Revision, opts: pulumi.ResourceOptions | None) -> Alarms:
    """The endpoint on its first release, and what watches and scales it."""
    made = ServingEndpoint(
        "endpoint",
        project_tags=service.project_tags,
        endpoint=service.endpoint,
        configuration=first.resources.configuration.name,
        opts=opts,
    )
    alarms = Alarms(
        "alarms",
        project_tags=service.project_tags,
        endpoint=service.endpoint,
        variant=VARIANT,
        alarms=service.alarms,
        opts=opts,
    )
    if service.scale.is_automatic:
        scaling = Autoscaling(
            "scaling",
            project_tags=service.project_tags,
            endpoint=made.endpoint_name,
            variant=VARIANT,
            scale=service.scale,
            now=service.now,
            opts=opts,
        )
        if service.scale.steps:
            StepScaling(
                "steps",
                project_tags=service.project_tags,
                endpoint=made.endpoint_name,
                variant=VARIANT,
                target=scaling.resources.target,
                steps=service.scale.steps,
                opts=opts,
            )
    return alarms
