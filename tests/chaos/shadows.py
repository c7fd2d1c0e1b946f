"""Rows of a release in the shadow of the one that serves, on SageMaker: it gets copies of the requests first.

What is cut off may leave the copies going on, and SageMaker promotes nothing by itself: whatever is typed next finds
them, and ends them one way or the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.chaos.checks import converges
from tests.chaos.fuse import AFTER, BEFORE, CUT, KILL
from tests.chaos.kills import Blow, after_next, count_effects, strike_with
from tests.chaos.rows import Row
from tests.chaos.shop import BACK, ENDPOINT, ONE, TWO, Shop

ROLLOUT = """rollout:
  strategy: shadow
  shadow: {bake: 5m}
  alarms: {error_rate: 0.01, no_data: good}
"""
"""Nothing rests on how many requests come in a bake that a busy machine shortens."""
PACE = 60
"""A minute of the cloud's in a second."""


class ShadowShop(Shop):
    """Each `up` after the first puts its release into the shadow, and promotes it then."""

    def spec(self) -> str:
        return super().spec() + ROLLOUT

    def begin(self) -> None:
        self.cloud.set_pace(PACE)


def in_traffic(shop: Shop) -> None:
    """The release is promoted, and nothing of the shadow is left: no copies, nothing that is declared for them."""
    after_next(shop)
    refuse_copies(shop)


def turned_back(shop: Shop) -> None:
    """Taken off, where it was on its way, or never begun; rolled back from, where it was live already."""
    back = shop.run("rollback")
    assert back.well or back.error == "BadInput", f"{back.error}: {back.said}"
    assert shop.ask() == shop.digests["one"], "the release that was asked for does not answer"
    refuse_copies(shop)
    converges(shop, "one", ONE, BACK, f"{BACK}, one")
    refuse_copies(shop)


def another_instead(shop: Shop) -> None:
    """The release in the shadow is not wanted any more: another one takes its place there."""
    converges(shop, "three", f"{ONE}, three", f"{TWO}, three")
    refuse_copies(shop)


def refuse_copies(shop: Shop) -> None:
    told = shop.client("sagemaker").describe_endpoint(EndpointName=ENDPOINT)
    assert "ShadowProductionVariants" not in told, "requests are copied, and nobody wants that"


BLOWS = (
    Blow("the next up, by a shadow", ONE, "up", in_traffic),
    Blow(
        "an up by a shadow, then rollback",
        ONE,
        "up",
        turned_back,
        also=((ONE, ""), (BACK, ""), (BACK, "one")),
    ),
    Blow(
        "an up by a shadow, then another pack",
        ONE,
        "up",
        another_instead,
        also=((ONE, "three"), (TWO, "three")),
    ),
)
WAYS = (
    (KILL, KILL, BLOWS),
    (CUT, CUT, BLOWS[:1]),
    ("a call torn before it arrives", BEFORE, BLOWS[:1]),
    ("a call torn after it was carried out", AFTER, BLOWS[:1]),
)


def rows(shop: Callable[[], Shop]) -> Iterator[Row]:
    for way, how, blows in WAYS:
        for blow in blows:
            name = f"{way}: {blow.name}"
            yield Row(name, "sagemaker", count_effects(shop, blow, how), strike_with(shop, blow, how, 1))
