"""Sale days: what is declared before, in the middle of and after them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import declared
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.components.autoscaling import Autoscaling, minimum, moments
from infra.spec import ScaleSpec, Window
from infra.tags import Tags
from modelpack.errors import BadInput

START = datetime(2026, 11, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SALE = Window(name="double-11", start=START, end=START + DAY, min=12)
TAGS = Tags(project="shop", stack="s", environment="local")


def test_before_a_sale_both_ends_are_scheduled_in_utc() -> None:
    scale = ScaleSpec(min=1, max=4, schedule=(SALE,))
    begin, end = moments(scale, START - DAY)
    assert (begin.name, begin.schedule) == ("double-11-begin", "at(2026-11-10T12:00:00)")
    assert (begin.min, begin.max) == (12, 12)
    assert (end.min, end.max) == (1, 4)
    assert minimum(scale, START - DAY) == 1


def test_in_the_middle_of_a_sale_its_replicas_are_declared_and_only_its_end_is_to_come() -> None:
    scale = ScaleSpec(min=1, max=4, schedule=(SALE,))
    assert minimum(scale, START) == 12
    assert [one.name for one in moments(scale, START)] == ["double-11-end"]


def test_after_a_sale_nothing_is_left_of_it() -> None:
    scale = ScaleSpec(min=1, max=4, schedule=(SALE,))
    assert minimum(scale, START + DAY) == 1
    assert moments(scale, START + DAY) == ()


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5), st.integers(1, 20)), max_size=4),
    st.integers(-1, 15),
)
def test_the_schedule_plays_out_as_the_windows_say(windows: list[tuple[int, int, int]], hour: int) -> None:
    """Whatever overlaps: the range in force at any time is what the windows say for it."""
    schedule = tuple(
        Window(
            name=f"w{number}",
            start=START + timedelta(hours=begin),
            end=START + timedelta(hours=begin + length),
            min=least,
        )
        for number, (begin, length, least) in enumerate(windows)
    )
    scale = ScaleSpec(min=2, max=5, schedule=schedule)
    declared_at, asked = START - DAY, START + timedelta(hours=hour, minutes=30)
    in_force = minimum(scale, declared_at)
    for moment in sorted(moments(scale, declared_at), key=lambda one: one.schedule):
        if datetime.fromisoformat(moment.schedule[3:-1]).replace(tzinfo=UTC) <= asked:
            in_force = moment.min
        assert moment.max >= moment.min
    assert in_force == minimum(scale, asked)


def test_scaling_is_wanted_with_a_load_or_a_sale() -> None:
    assert not ScaleSpec(min=1, max=9).is_automatic
    assert ScaleSpec(target_rps=1.0).is_automatic
    assert ScaleSpec(schedule=(SALE,)).is_automatic


@pytest.mark.parametrize(
    ("scale", "word"),
    [
        (ScaleSpec(min=3, max=2), "min"),
        (ScaleSpec(target_rps=-1.0), "target_rps"),
        (ScaleSpec(schedule=(SALE, SALE)), "differ"),
        (ScaleSpec(schedule=(Window(name="x", start=START, end=START, min=1),)), "ends before"),
    ],
)
def test_a_wrong_scale_is_refused_before_anything_is_made(scale: ScaleSpec, word: str) -> None:
    def code() -> None:
        Autoscaling("scaling", project_tags=TAGS, endpoint="shop", variant="v", scale=scale, now=START)

    with pytest.raises(BadInput, match=word):
        declared.declare(code)
