"""The settings of a platform: what is wanted, laid out on what the account offers and what stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from infra.components.addons import NAMES
from infra.components.gpu_pool import node_group_name
from infra.components.system_nodes import want_nodes
from infra.ground.layout import GroundPlan, clamp_counts, lay_out
from infra.ground.survey import Standing, Survey
from infra.quotas.platform import platform_demands
from infra.quotas.quota import QuotaDemand
from infra.spec import PlatformSpec
from stacks.settings import platform_name, platform_settings
from stacks.wanted import Wanted


@dataclass(frozen=True)
class Ground:
    """What the program is told, what whoever plans must know, and what it takes of the account's quotas."""

    settings: Mapping[str, Any]
    notes: tuple[str, ...]
    demands: tuple[QuotaDemand, ...] = ()
    left: tuple[str, ...] = ()
    """Zones whose subnets go."""


def survey_ground(survey: Survey, wanted: Wanted) -> Ground:
    """Asks the account, and changes nothing.

    Raises:
        BadInput: what AWS would refuse of what is wanted there.
        CloudRefused, EcomdeployError: the cloud did not say.
    """
    platform, place = wanted.spec.platform, wanted.spec.environment
    stack = f"ecomdeploy-{wanted.platform.program}/{wanted.platform.name}"
    standing = survey.standing(stack, platform_name(wanted))
    layout = lay_out(platform, place.region, survey.offer(), standing)
    if platform.gpu_pools:
        versions = survey.addons(layout.kubernetes_version, NAMES)
        layout = replace(layout, addons=dict(versions), counts=counts(platform, layout, standing))
    told = msgspec.to_builtins(replace(layout, notes=()))
    demands = platform_demands(platform, layout, standing)
    left = tuple(sorted(standing.blocks.keys() - layout.slots.keys()))
    return Ground({**platform_settings(wanted), "layout": told}, layout.notes, demands, left)


def counts(platform: PlatformSpec, layout: GroundPlan, standing: Standing) -> dict[str, int]:
    """The sizes to declare of pools that are out of their range now, by pool."""
    there = standing.cluster.counts if standing.cluster else {}
    zones = layout.nodes if set(layout.nodes) != set(layout.control_plane) else ()
    system = platform.system_nodes
    ranges = {"system": (want_nodes(system, zones=zones).group_name, system.min, system.max)}
    ranges |= {
        pool.name: (node_group_name(pool, zones), pool.min, pool.max)
        for pool in platform.gpu_pools
        if pool.desired is None and not pool.is_karpenters
    }
    return clamp_counts(
        {pool: (there[group], low, high) for pool, (group, low, high) in ranges.items() if group in there}
    )
