"""A sample of the points of `make chaos`, the same in every run, some of each row; and sabotage, which must be noticed.

CI takes 30 rows of them, the night 60 points; a point costs 4 to 10 s of a processor that many share.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import kills, others, sabotage
from tests.chaos.checks import converges, in_our_words, is_refused, stands
from tests.chaos.fuse import CUT, STOP
from tests.chaos.rows import Row
from tests.chaos.shop import EMPTY, ONE, TWO, Shop
from tests.chaos.stage import KILLED

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
FEW, SAMPLE = 30, 60
SEED = 14


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    made = Shop(tmp_path_factory.mktemp("chaos"), stages=2)
    yield made
    made.close()


def choose(rows: list[Row], sample: int) -> Iterator[tuple[Row, int]]:
    """So many of each row as its share of all points is, at least one; of some rows alone where there are more rows
    than points. Seeded, so that every run takes the same."""
    drawn = random.Random(SEED)
    rows = drawn.sample(rows, sample) if sample < len(rows) else rows
    counts = [row.count() for row in rows]
    for row, count in zip(rows, counts, strict=True):
        share = max(1, sample * count // sum(counts))
        yield from ((row, at) for at in sorted(drawn.sample(range(1, count + 1), min(share, count))))


@pytest.mark.parametrize(
    "sample", [FEW, pytest.param(SAMPLE, marks=pytest.mark.nightly(like="test_a_sample_of_points"))]
)
def test_a_sample_of_points(shop: Shop, sample: int) -> None:
    rows = [*kills.rows(lambda: shop), *others.rows(lambda: shop)]
    tried = list(choose(rows, sample))
    failed = {f"{row.name}, {at}": failure for row, at in tried if (failure := row.try_at(at))}
    print(f"{len(tried) - len(failed)} of {len(tried)} points")
    assert failed == {}


# ---- what holds it up, taken away: each must be noticed ----


def test_without_the_fsync_a_power_cut_loses_what_the_bucket_tells(shop: Shop) -> None:
    """At the end of an `up`: its records are published, and nothing of the folder is on disk."""

    def cut(spoilt: str) -> None:
        shop.foresee(ONE, "two")
        shop.put(ONE)
        assert shop.run("up", "two", how=CUT, at=last(shop), spoilt=spoilt).status == KILLED
        converges(shop, "two", f"{ONE}, two")

    cut("")
    lost = "BadInput: bucket .*(ends before them|came after all that this folder knows)"
    with pytest.raises(AssertionError, match=lost):
        cut(sabotage.FSYNC)


def last(shop: Shop) -> int:
    """The last effect of the next `up`: it frees its lease."""
    return len(shop.effects(ONE, "up"))


def test_without_the_intent_what_serves_is_deleted(shop: Shop) -> None:
    """A release that is on its way is not written down: the next `up`, of another pack, takes away what it runs on."""

    def kill(spoilt: str) -> None:
        shop.put(ONE)
        assert shop.run("up", "two", when="call UpdateEndpoint", at=1, spoilt=spoilt).status == KILLED
        in_our_words(shop.run("up", "three", when="call UpdateEndpoint"))
        stands(shop)

    kill("")
    with pytest.raises(AssertionError, match="was deleted"):
        kill(sabotage.INTENT)


def test_without_the_lease_check_two_are_at_work(shop: Shop) -> None:
    def meet(spoilt: str) -> None:
        shop.put(TWO)
        first, second = shop.stages
        first.begin(shop.order("up", "three", when="call CreateModel", how=STOP))
        stopped = first.await_stop()
        assert stopped
        try:
            is_refused(second.run(shop.order("up", "three", spoilt=spoilt)))
        finally:
            shop.resume(stopped)
            first.end()

    meet("")
    with pytest.raises(AssertionError):
        meet(sabotage.LEASE)


@pytest.mark.parametrize("state", [EMPTY, TWO])
def test_without_the_digest_check_what_nobody_has_built_is_live(shop: Shop, state: str) -> None:
    at = 1 + (state == TWO)
    with pytest.raises(AssertionError, match="what nobody has built is live"):
        others.impostor(shop, at, sabotage.DIGEST)


def test_what_a_point_says_is_kept_and_a_run_goes_on(tmp_path: Path) -> None:
    from tests.chaos.tally import Tally

    tally = Tally.read(tmp_path / "tally.json")
    tally.keep("a row", 3, 1, "")
    tally.keep("a row", 3, 2, "doubled")
    again = Tally.read(tmp_path / "tally.json")
    assert again.which_passed("a row") == {1}
    assert again.lines() == ["   1 of    3  a row", "   1 of    3  all"]
    assert again.failures() == {"a row, 2": "doubled"}
