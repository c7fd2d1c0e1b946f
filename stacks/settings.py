"""What each program is told: pure functions from what is wanted and the releases (docs/architecture/rooms/infra.md)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

import msgspec

from infra.recurring import is_running
from infra.training import FOLDER
from stacks.records.release import OPEN, Release, State
from stacks.wanted import Wanted

PAST = frozenset({State.SUPERSEDED, State.ROLLED_BACK})
"""What was live once and is no more."""


def common(wanted: Wanted) -> dict[str, Any]:
    """What each program is told; of governance only what is asked for, so that other specs' settings stay the same."""
    place, asked = wanted.spec.environment, wanted.spec.governance
    governed = {"tags": asked.tags, "permissions_boundary": asked.permissions_boundary}
    told = {
        "environment": place.name,
        "cloud": place.cloud,
        **{key: value for key, value in governed.items() if value},
    }
    if place.cluster:
        cluster = {"context": place.context, "cluster": msgspec.to_builtins(place.cluster)}
        return {**told, **cluster, "namespace": place.namespace}
    return {**told, "region": place.region, "account": place.account}


def base_settings(wanted: Wanted, before: Mapping[str, Any] | None) -> dict[str, Any]:
    """`before`: the stack's outputs as it stands. One that stands without a log group was made by an earlier release:
    its endpoint has the group that its target made, and another of that name is refused."""
    settings = {**common(wanted), "service": wanted.spec.service, "bucket": wanted.bucket}
    if pipeline := wanted.spec.governance.pipeline:
        place = wanted.spec.environment
        state = {"state": place.state or "", "secrets": place.secrets or ""}
        settings |= {"pipeline": msgspec.to_builtins(pipeline), **state}
        settings |= {"network": True} if wanted.spec.serve.network else {}
    if wanted.trains_elsewhere:
        settings |= {"training": FOLDER}
    if budget := wanted.spec.governance.monthly_budget:
        settings |= {"monthly_budget": msgspec.to_builtins(budget)}
    if before and "log_group" not in before:
        return settings
    return {**settings, "target": wanted.serving.target, "log_days": wanted.spec.platform.log_days}


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
    rules: bool = False,
    metrics: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """`base`: the base stack's outputs, handed on as they are; `initial`: the key that the endpoint is created on
    (afterwards the rollout moves it).

    `now`: an aware datetime; sale days and busy hours that run now are named, so that a run is due when one begins
    or ends.
    `scaling`: False leaves automatic scaling out, for as long as traffic moves to another instance type; `rules`: the
    cluster takes alarms as objects; `metrics`: where it asks for the load that it scales by (MetricsPlace).
    """
    scale = wanted.spec.scale
    declared = tuple(releases)
    by_key = {release.key: release for release in sorted(declared, key=lambda each: -each.number)}
    running, shadows = find_running(declared), find_shadows(wanted.policy.rollout, declared, initial)
    return {
        **common(wanted),
        "service": wanted.spec.service,
        "base": dict(base),
        "target": wanted.serving.target,
        "namespace": wanted.spec.environment.namespace,
        "scale": msgspec.to_builtins(scale if scaling else scale.by_hand()),
        "sale_days": [
            *(window.name for window in scale.schedule if window.start <= now < window.end),
            *(hours.name for hours in scale.recurring if is_running(hours, now)),
        ],
        "alarms": msgspec.to_builtins(wanted.spec.rollout.alarms),
        **({"watched": True} if wanted.spec.rollout.strategy != "all-at-once" else {}),
        **({"rules": True} if rules else {}),
        **({"metrics": dict(metrics)} if metrics else {}),
        "releases": [
            {**declare(release, key == initial, key not in running), **shadows.get(key, {})}
            for key, release in sorted(by_key.items(), key=lambda item: item[1].number)
        ],
    }


def find_running(releases: Iterable[Release]) -> frozenset[str]:
    """Keys of what has to run: what is live or on its way, and what a rollback goes to, which is to take no time."""
    newest = sorted(releases, key=lambda each: -each.number)
    before = next((each.key for each in newest if each.state is State.SUPERSEDED), "")
    return frozenset({before, *(each.key for each in newest if each.state not in PAST)})


def find_shadows(
    rollout: Mapping[str, Any], releases: Iterable[Release], live: str
) -> dict[str, dict[str, Any]]:
    """By the `rollout` of today. Of the releases on their way, or that were when a run was killed, those that are to
    get copies of what the live one (its key) is asked, or may still get them: each as it was made, so that a change of
    the spec takes nothing away that an endpoint is on."""
    found = {}
    for one in sorted(releases, key=lambda each: each.number):
        asked = one.policy.rollout if one.policy.rollout.get("strategy") == "shadow" else rollout
        waits = one.key != live and one.restores is None and one.state in (*OPEN, State.INTERRUPTED)
        if waits and asked.get("strategy") == "shadow":
            found[one.key] = {"shadow_of": live, "copied": asked["shadow"]["share"]}
    return found


def declare(release: Release, initial: bool, stopped: bool) -> dict[str, Any]:
    """A release as the service program reads it."""
    return {
        "key": release.key,
        "image": release.image,
        "instance": release.serving.instance,
        "count": release.replicas,
        "environment": dict(release.serving.environment),
        "initial": initial,
        "stopped": stopped,
        **({"host_image": release.serving.host_image} if release.serving.host_image else {}),
        **({"hosting": given} if (given := release.serving.hosting.as_data()) else {}),
        **({"guardrails": release.pack.guardrails} if release.pack.guardrails else {}),
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
