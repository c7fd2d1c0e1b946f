"""What each program is told: pure functions from the Spec and the releases (docs/architecture/seams.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from stacks.hardware import host_image
from stacks.pulumi_driver.driver import Stack
from stacks.records.release import Contract, Policy, Release
from stacks.spec import Spec


def base_stack(spec: Spec) -> Stack:
    return Stack("base", spec.name)


def service_stack(spec: Spec) -> Stack:
    return Stack("service", spec.name)


def platform_stack(spec: Spec) -> Stack:
    """One per environment: services share it."""
    return Stack("platform", spec.environment.name)


def common(spec: Spec) -> dict[str, Any]:
    place = spec.environment
    return {
        "environment": place.name,
        "cloud": place.cloud,
        "region": place.region,
        "account": place.account,
        "service": spec.service,
    }


def bucket_name(spec: Spec) -> str:
    """Bucket names are one namespace for all of S3: the account makes them ours. At most 63 characters."""
    return f"{spec.name}-{spec.environment.account}"


def base_settings(spec: Spec) -> dict[str, Any]:
    return {**common(spec), "bucket": bucket_name(spec)}


def platform_settings(spec: Spec) -> dict[str, Any]:
    given = {key: value for key, value in common(spec).items() if key != "service"}
    return {
        **given,
        "name": f"ecomdeploy-{spec.environment.name}",
        "platform": msgspec.to_builtins(spec.platform),
    }


def service_settings(
    spec: Spec, role_arn: str, releases: Iterable[Release], serving: str, now: datetime
) -> dict[str, Any]:
    """`serving`: the key that the endpoint is created on; afterwards the rollout moves it.

    `now`: an aware datetime; sale days that run now are named, so that a run is due when one begins or ends.
    """
    by_key = {release.key: release for release in sorted(releases, key=lambda each: -each.number)}
    return {
        **common(spec),
        "role_arn": role_arn,
        "target": spec.serve.target,
        "scale": msgspec.to_builtins(spec.scale),
        "sale_days": [window.name for window in spec.scale.schedule if window.start <= now < window.end],
        "alarms": msgspec.to_builtins(spec.rollout.alarms),
        "releases": [
            {
                "key": key,
                "image": release.image,
                "instance": release.contract.instance,
                "count": release.replicas,
                "environment": dict(release.contract.environment),
                "serving": key == serving,
                **({"ami": release.contract.ami} if release.contract.ami else {}),
            }
            for key, release in sorted(by_key.items(), key=lambda item: item[1].number)
        ],
    }


def contract_of(spec: Spec) -> Contract:
    serve = spec.serve
    return Contract(
        target=serve.target,
        instance=serve.instance,
        environment=dict(serve.environment),
        ami=host_image(spec),
    )


def policy_of(spec: Spec) -> Policy:
    return Policy(scale=msgspec.to_builtins(spec.scale), rollout=msgspec.to_builtins(spec.rollout))


def unpacked_image(repository: str, spec: Spec) -> str:
    """Stands for an image that is not known until packed, in previews only: no image has this digest."""
    inputs = {"model": msgspec.to_builtins(spec.model), "pack": msgspec.to_builtins(spec.pack)}
    digest = hashlib.sha256(f"not packed yet: {sorted(inputs.items())}".encode()).hexdigest()
    return f"{repository}@sha256:{digest}"


def text(outputs: Mapping[str, Any], key: str) -> str:
    """An output that must be there."""
    return str(outputs[key])
