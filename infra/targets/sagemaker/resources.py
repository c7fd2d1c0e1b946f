"""What Pulumi owns at SageMaker: a Model and a configuration per release, one Endpoint, scaling, alarms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pulumi

from infra.component import Component, require
from infra.components.alarms import Alarms, ReleaseAlarms
from infra.components.autoscaling import Autoscaling
from infra.components.hosting_rights import HostingRights, RoleAccount, rights_policy
from infra.components.role import reading_policy
from infra.components.secrets import Secrets
from infra.components.step_scaling import StepScaling
from infra.secrets import own_parameters
from infra.tags import Tags
from infra.targets.base import Declared, Provisioned, Service
from infra.targets.initial import initial_release
from infra.targets.sagemaker.hosts import hosts
from infra.targets.sagemaker.names import VARIANT, check, configuration_name, model_name
from infra.targets.sagemaker.parts import bucket_of, capture_config, variant_settings, vpc_config
from infra.targets.sagemaker.shadow_resources import declare_shadows, watch_shadow
from modelpack.errors import BadInput
from modelpack.server.metric_names import RELEASE

if TYPE_CHECKING:
    from pulumi_aws import sagemaker


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
                    variant_name=VARIANT, **variant_settings(release, model.name)
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
            bucket=bucket_of(service),
            opts=opts,
        )
        for release in releases
    }
    models = {key: one.resources.model.name for key, one in made.items()}
    shadows = declare_shadows(service, releases, role_arn, models, opts)
    # The rollout may have put the endpoint on any of them, so it goes before they do.
    under: list[pulumi.Resource] = [one.resources.configuration for one in shadows.values()]
    under += [part for one in made.values() for part in (one.resources.model, one.resources.configuration)]
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
        shadows={key: one.resources.configuration.name for key, one in shadows.items()},
        shadow_alarms={
            one.key: watch_shadow(service, one, shadows[one.key], alarms.told, opts).names
            for one in releases
            if one.key in shadows
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
        configuration=(name := configuration_name(service.endpoint, role_arn, release)),
        counted_as=name,
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
        bucket=bucket_of(service),
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
