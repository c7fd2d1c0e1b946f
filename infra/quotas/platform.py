"""What a platform asks of its account's quotas: a pure function of what is wanted and what stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from infra.components import gpu_pool, system_nodes
from infra.components.nodes import CAPACITY, NodesWanted
from infra.ground.layout import GroundPlan
from infra.ground.survey import Standing
from infra.instances import nodes as node_types
from infra.quotas.catalogue import ELASTIC_IPS, NAT_GATEWAYS, VPCS, KnownQuota, vcpu_quota
from infra.quotas.quota import QuotaDemand
from infra.spec import PlatformSpec


def demand_of(quota: KnownQuota, amount: int, why: str, *, growth: int = 0, zone: str = "") -> QuotaDemand:
    return QuotaDemand(
        service=quota.service,
        name=quota.name,
        code=quota.code,
        amount=amount,
        growth=growth,
        zone=zone,
        why=why,
    )


def platform_demands(wanted: PlatformSpec, layout: GroundPlan, standing: Standing) -> tuple[QuotaDemand, ...]:
    """What would be made, by quota; empty where nothing of it is missing."""
    return (*network_demands(wanted, layout, standing), *node_demands(wanted, layout, standing))


def network_demands(wanted: PlatformSpec, layout: GroundPlan, standing: Standing) -> Iterator[QuotaDemand]:
    if wanted.vpc is not None:
        return
    if not standing.cidr:
        yield demand_of(VPCS, 1, "the platform's network")
    zones = layout.slots if wanted.nat == "per-zone" else [layout.nat]
    missing = sorted(set(zones) - set(standing.nats))
    if missing:
        yield demand_of(ELASTIC_IPS, len(missing), f"one for each NAT gateway, in {', '.join(missing)}")
    for zone in missing:
        yield demand_of(NAT_GATEWAYS, 1, "the way out of the zone's private subnets", zone=zone)


def node_demands(wanted: PlatformSpec, layout: GroundPlan, standing: Standing) -> Iterator[QuotaDemand]:
    """vCPUs of nodes, the pools of one quota together."""
    if not wanted.gpu_pools:
        return
    there = standing.cluster.counts if standing.cluster else {}
    zones = layout.nodes if set(layout.nodes) != set(layout.control_plane) else ()
    groups = [
        system_nodes.want_nodes(wanted.system_nodes, zones=zones),
        *(gpu_pool.want_nodes(pool, zones=zones) for pool in wanted.gpu_pools),
    ]
    sums: dict[KnownQuota, QuotaDemand] = {}
    for group in groups:
        missing = count_missing(group, there.get(group.group_name))
        if missing is None:
            continue
        quota = vcpu_quota(group.instances[0], spot=group.capacity == CAPACITY["spot"])
        if quota is None:
            continue
        one = demand_of(quota, missing.now, f"{group.name}: {missing.told}", growth=missing.later)
        before = sums.get(quota)
        sums[quota] = one if before is None else add(before, one)
    yield from sums.values()


@dataclass(frozen=True)
class MissingVcpus:
    """`now`: for the nodes that are made at once; `later`: for those that may follow."""

    now: int
    later: int
    told: str


def count_missing(group: NodesWanted, count: int | None) -> MissingVcpus | None:
    """vCPUs of the nodes that a group would get beside the `count` that it has (None: it is not there).

    Of mixed instance types the smallest counts, which is what AWS may choose. None: it gets no more.
    """
    sizes = [node_types()[name].vcpus for name in group.instances if name in node_types()]
    first = group.least if group.desired is None else group.desired
    more = first - (count or 0)
    if not sizes or (count is not None and more <= 0):
        return None
    size, rest = min(sizes), group.most - max(first, count or 0)
    told = f"{more} now, up to {group.most} nodes of {size} vCPUs"
    return MissingVcpus(more * size, rest * size, told)


def add(one: QuotaDemand, other: QuotaDemand) -> QuotaDemand:
    """Both at once."""
    return replace(
        one,
        amount=one.amount + other.amount,
        growth=one.growth + other.growth,
        why=f"{one.why}; {other.why}",
    )
