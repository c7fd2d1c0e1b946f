"""Where a platform's zones are, and what is refused of them: names are an account's own, ids are places."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.ground.layout import NO_CONTROL_PLANE, GroundPlan, lay_out
from infra.ground.survey import AvailabilityZone, Offer, Standing, StandingCluster
from infra.spec import GpuPoolSpec, PlatformSpec
from modelpack.errors import BadInput

REGION = "us-east-1"
POOLS = (GpuPoolSpec(name="g6", instances=("g6.xlarge",)),)
IDS = tuple(f"use1-az{number}" for number in range(1, 7))
accounts = st.permutations(IDS).map(
    lambda ids: Offer(
        zones=tuple(
            AvailabilityZone(f"{REGION}{letter}", at) for letter, at in zip("abcdef", ids, strict=True)
        )
    )
)
"""Every account gives the region's zones their letters in an order of its own."""


def place(layout: GroundPlan, offer: Offer) -> set[str]:
    ids = {zone.name: zone.id for zone in offer.zones}
    return {ids[name] for name in layout.nodes}


@given(
    offer=accounts,
    wanted=st.sets(st.sampled_from(sorted(set(IDS) - NO_CONTROL_PLANE)), min_size=2, max_size=3),
)
def test_an_id_is_the_same_place_in_every_account(offer: Offer, wanted: set[str]) -> None:
    spec = PlatformSpec(zones=tuple(wanted), gpu_pools=POOLS)
    assert place(lay_out(spec, REGION, offer, Standing()), offer) == wanted


@given(offer=accounts)
def test_without_zones_those_where_eks_makes_no_control_plane_are_passed_over(offer: Offer) -> None:
    layout = lay_out(PlatformSpec(gpu_pools=POOLS), REGION, offer, Standing())
    assert len(layout.nodes) == 2
    assert not place(layout, offer) & NO_CONTROL_PLANE
    assert layout.nat in layout.nodes


@given(offer=accounts)
def test_a_zone_where_eks_makes_no_control_plane_is_refused_by_name_and_by_id(offer: Offer) -> None:
    (refused,) = [zone for zone in offer.zones if zone.id in NO_CONTROL_PLANE]
    for written in refused.name, refused.id:
        spec = PlatformSpec(
            zones=(written, next(one.id for one in offer.zones if one != refused)), gpu_pools=POOLS
        )
        with pytest.raises(BadInput, match=f"no control plane in {refused.name}, which is {refused.id}"):
            lay_out(spec, REGION, offer, Standing())
    # A network without a cluster may be there.
    assert (
        refused.name in lay_out(PlatformSpec(zones=(refused.name, IDS[0])), REGION, offer, Standing()).nodes
    )


def test_a_zone_that_the_account_has_not_is_refused_with_those_it_has() -> None:
    offer = Offer(
        zones=(AvailabilityZone("us-east-1a", "use1-az4"), AvailabilityZone("us-east-1b", "use1-az6"))
    )
    with pytest.raises(BadInput) as refused:
        lay_out(PlatformSpec(zones=("us-east-1a", "use1-az1", "eu-west-1a")), REGION, offer, Standing())
    assert [one.what for one in refused.value.problems] == [
        "platform.zones: there is no zone eu-west-1a in this account",
        "platform.zones: there is no zone use1-az1 in this account",
    ]
    assert refused.value.problems[0].hint == "this account has us-east-1a (use1-az4), us-east-1b (use1-az6)"


def test_the_way_out_stays_where_it_is_when_its_zone_does() -> None:
    standing = Standing(
        blocks={"us-east-1a": "10.42.0.0/19", "us-east-1c": "10.42.64.0/19"},
        nat="us-east-1c",
        cluster=StandingCluster(
            version="1.35", role="e-us-east-1-cluster", zones=("us-east-1a", "us-east-1c")
        ),
    )
    layout = lay_out(PlatformSpec(gpu_pools=POOLS), REGION, Offer(), standing)
    assert (layout.nat, layout.nodes, layout.plain_names) == (
        "us-east-1c",
        ("us-east-1a", "us-east-1c"),
        False,
    )
