"""What Pulumi owns of a release that is to get copies: a configuration of what serves, with a shadow variant beside it,
and alarms on that variant. It goes with the next run of the stack after the release is live, or failed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pulumi

from infra.component import Component, require
from infra.components.alarms import ReleaseAlarms
from infra.tags import Tags
from infra.targets.base import Declared, Service
from infra.targets.sagemaker.names import (
    VARIANT,
    check,
    configuration_name,
    shadow_configuration,
    shadow_variant,
)
from infra.targets.sagemaker.parts import bucket_of, capture_config, variant_settings

if TYPE_CHECKING:
    from pulumi_aws import sagemaker


@dataclass(frozen=True, kw_only=True)
class ShadowResources:
    """What a Shadow is made of."""

    configuration: sagemaker.EndpointConfiguration


class Shadow(Component):
    """The configuration: `serving` as it serves, and `release` with copies of `release.copied` percent of its requests.
    `models`: the names of both Models, by release key; `role_arn`: as whom they serve."""

    type_name: ClassVar[str] = "Shadow"

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        endpoint: str,
        role_arn: str,
        serving: Declared,
        release: Declared,
        models: Mapping[str, pulumi.Input[str]],
        bucket: str = "",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        wrong = not 1 <= release.copied <= 100
        require(f"Shadow {release.key}", {f"copied: 1 to 100 percent, got {release.copied}": wrong})
        super().__init__(name, project_tags=project_tags, opts=opts)
        old, new = (configuration_name(endpoint, role_arn, one) for one in (serving, release))
        self.variant, self.counted_as = shadow_variant(old, new), new
        self.resources = self._create(
            endpoint,
            shadow_configuration(endpoint, old, new, release.copied),
            serving,
            release,
            models,
            bucket,
        )
        self.register_outputs({"configuration": self.resources.configuration.name})

    def _create(
        self,
        endpoint: str,
        name: str,
        serving: Declared,
        release: Declared,
        models: Mapping[str, pulumi.Input[str]],
        bucket: str,
    ) -> ShadowResources:
        from pulumi_aws import sagemaker

        beside = variant_settings(release, models[release.key], release.copied / 100)
        configuration = sagemaker.EndpointConfiguration(
            self.child("configuration"),
            name=check(name),
            production_variants=[
                sagemaker.EndpointConfigurationProductionVariantArgs(
                    variant_name=VARIANT, **variant_settings(serving, models[serving.key])
                )
            ],
            shadow_production_variants=[
                sagemaker.EndpointConfigurationShadowProductionVariantArgs(
                    variant_name=self.variant, **beside
                )
            ],
            kms_key_arn=serving.hosting.volume_key,
            data_capture_config=capture_config(serving.hosting.capture, endpoint, bucket),
            tags=self.tags("configuration"),
            opts=self.options(),
        )
        return ShadowResources(configuration=configuration)


def declare_shadows(
    service: Service,
    releases: Sequence[Declared],
    role_arn: str,
    models: Mapping[str, pulumi.Input[str]],
    opts: pulumi.ResourceOptions | None,
) -> dict[str, Shadow]:
    """One for each release that is to get copies, by its key."""
    by_key = {one.key: one for one in releases}
    return {
        one.key: Shadow(
            f"shadow-{one.key}",
            project_tags=service.project_tags,
            endpoint=service.endpoint,
            role_arn=role_arn,
            serving=by_key[one.shadow_of],
            release=one,
            models=models,
            bucket=bucket_of(service),
            opts=opts,
        )
        for one in releases
        if one.shadow_of in by_key
    }


def watch_shadow(
    service: Service,
    release: Declared,
    shadow: Shadow,
    told: Sequence[pulumi.Input[str]],
    opts: pulumi.ResourceOptions | None,
) -> ReleaseAlarms:
    """The alarms on what a release answers to copies: by its variant, which nothing else has."""
    return ReleaseAlarms(
        f"alarms-shadow-{release.key}",
        project_tags=service.project_tags,
        prefix=f"{service.endpoint}-{release.key}-shadow",
        endpoint=service.endpoint,
        variant=shadow.variant,
        counted_as=shadow.counted_as,
        alarms=service.alarms,
        limits=service.alarms.limits(release.guardrails),
        told=told,
        opts=opts,
    )
