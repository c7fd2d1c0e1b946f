"""What each program is told: pure functions from what is wanted and the releases (docs/architecture/rooms/infra.md)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec

from stacks.records.release import Release
from stacks.wanted import Wanted


def common(wanted: Wanted) -> dict[str, Any]:
    place = wanted.spec.environment
    return {"environment": place.name, "cloud": place.cloud, "region": place.region, "account": place.account}


def base_settings(wanted: Wanted) -> dict[str, Any]:
    return {**common(wanted), "service": wanted.spec.service, "bucket": wanted.bucket}


def platform_name(wanted: Wanted) -> str:
    """What its cluster is called, and what all its names begin with."""
    return f"ecomdeploy-{wanted.spec.environment.name}"


def platform_settings(wanted: Wanted) -> dict[str, Any]:
    name = platform_name(wanted)
    return {**common(wanted), "name": name, "platform": msgspec.to_builtins(wanted.spec.platform)}


def service_settings(
    wanted: Wanted,
    base: Mapping[str, Any],
    releases: Iterable[Release],
    initial: str,
    now: datetime,
    *,
    scaling: bool = True,
) -> dict[str, Any]:
    """`base`: the base stack's outputs, handed on as they are; `initial`: the key that the endpoint is created on
    (afterwards the rollout moves it).

    `now`: an aware datetime; sale days that run now are named, so that a run is due when one begins or ends.
    `scaling`: False leaves automatic scaling out, for as long as traffic moves to another instance type.
    """
    scale = wanted.spec.scale
    by_key = {release.key: release for release in sorted(releases, key=lambda each: -each.number)}
    return {
        **common(wanted),
        "service": wanted.spec.service,
        "base": dict(base),
        "target": wanted.serving.target,
        "scale": msgspec.to_builtins(scale if scaling else replace(scale, target_rps=None, schedule=())),
        "sale_days": [window.name for window in scale.schedule if window.start <= now < window.end],
        "alarms": msgspec.to_builtins(wanted.spec.rollout.alarms),
        "releases": [
            declare(release, key == initial)
            for key, release in sorted(by_key.items(), key=lambda item: item[1].number)
        ],
    }


def declare(release: Release, initial: bool) -> dict[str, Any]:
    """A release as the service program reads it."""
    return {
        "key": release.key,
        "image": release.image,
        "instance": release.serving.instance,
        "count": release.replicas,
        "environment": dict(release.serving.environment),
        "initial": initial,
        **({"host_image": release.serving.host_image} if release.serving.host_image else {}),
    }


def unpacked_image(repository: str, wanted: Wanted) -> str:
    """Stands for an image that is not known until packed, in previews only: no image has this digest."""
    spec = wanted.spec
    inputs = {"model": msgspec.to_builtins(spec.model), "pack": msgspec.to_builtins(spec.pack)}
    digest = hashlib.sha256(f"not packed yet: {sorted(inputs.items())}".encode()).hexdigest()
    return f"{repository}@sha256:{digest}"


def digest_declared(*parts: Any) -> str:
    """Of the programs' sources and settings: the same digest declares the same."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
