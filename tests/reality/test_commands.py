"""Whole commands with ECOMDEPLOY_DRIVER=pulumi: releases come, go and come back; cut off at any moment, they converge.

A moment is a line that the command says: before and inside each stack, at the push, at the route, at the end. A sample
of them, with ALL=1 or KILLS=all each one.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from lent_layers import keep, lend
from own_shop import write_shop
from typed import asking
from waiting import wait_for

from tests.reality.cut_offs import CutOffs
from tests.reality.cut_offs import keep as keep_tally
from tests.reality.extent import KILLS, points
from tests.reality.rig import kinds
from tests.reality.typed_cli import TypedShop

pytestmark = [pytest.mark.slow, pytest.mark.reality, pytest.mark.network, pytest.mark.timeout(0)]

UP, DOWN = ("up", "--yes", "--json"), ("down", "--all", "--yes", "--json")
MOMENTS = {signal.SIGKILL: 2, signal.SIGINT: 1}
"""Of each, in a run that does not take every one."""


@pytest.fixture(scope="module")
def shop(
    tmp_path_factory: pytest.TempPathFactory, pulumi_binary: Path, shared_layers: Path
) -> Iterator[TypedShop]:
    root = tmp_path_factory.mktemp("commands")
    lend(shared_layers, root / "home" / "images")
    made = TypedShop(root, pulumi_binary)
    yield made
    made.close()
    keep(root / "home" / "images", shared_layers)


@pytest.mark.nightly(like="tests/stacks/test_automation_driver.py::test_a_stack_comes_up_changes_and_goes")
def test_releases_are_verified_rolled_back_and_taken_down(shop: TypedShop) -> None:
    terminal = shop.terminal
    planned = terminal.type("plan", "--json").json
    assert {change["op"] for change in planned["changes"]} == {"create"}
    first = terminal.type(*UP).json
    assert (first["release"], first["state"], first["verified"]) == (1, "live", True)
    predicted = terminal.type("predict", "--json").json
    ask = asking(terminal, predicted)
    assert terminal.type("plan", "--json").json["changes"] == []
    before = terminal.counts()["mutating"]
    assert terminal.type(*UP).json["outcome"] == "nothing to do"
    assert terminal.counts()["mutating"] == before

    written = (terminal.folder / "shop.py").read_bytes(), (terminal.folder / "pack.lock").read_bytes()
    write_shop(terminal.folder, ("size=(60, 12)", "size=(61, 12)"))
    second = terminal.type(*UP).json
    assert (second["release"], second["state"], second["verified"]) == (2, "live", True)
    assert second["image"] != first["image"]
    back = terminal.type("rollback", "--yes", "--json").json
    assert (back["restores"], back["image"], back["verified"]) == (1, first["image"], True)
    assert ask() == predicted["predictions"]
    status = terminal.type("status", "--json").json
    assert (status["image"], status["verified"]) == (first["image"], True)

    for name, content in zip(("shop.py", "pack.lock"), written, strict=True):
        (terminal.folder / name).write_bytes(content)
    terminal.type(*DOWN)
    assert sorted(shop.holdings()) == []


@pytest.fixture(scope="module")
def undisturbed(shop: TypedShop) -> tuple[int, int, dict[str, int]]:
    """How many lines `up` and `down --all` say, and how many of each kind there are between them."""
    code, ups = shop.cut_off(*UP, at=0, by=signal.SIGKILL)
    assert code == 0, ups
    whole = dict(kinds(shop.holdings()))
    code, downs = shop.cut_off(*DOWN, at=0, by=signal.SIGKILL)
    assert code == 0, downs
    print("".join([*ups, *downs]))
    return len(ups), len(downs), whole


@pytest.mark.nightly(like="tests/reality/test_kills.py::test_the_next_run_converges")
@pytest.mark.parametrize("by", [*MOMENTS], ids=lambda by: by.name)
def test_cut_off_at_any_moment_it_converges(
    shop: TypedShop, undisturbed: tuple[int, int, dict[str, int]], by: signal.Signals
) -> None:
    ups, downs, whole = undisturbed
    tally = CutOffs("the whole command", by.name, ups, downs, date.today().isoformat())
    for at in points(max(ups, downs), MOMENTS[by]):
        if at <= ups:
            check_end(by, *shop.cut_off(*UP, at=at, by=by))
        done = shop.terminal.type(*UP).json
        assert (done["state"], done["verified"]) == ("live", True), at
        assert kinds(shop.holdings()) == whole, at
        if at <= downs:
            check_end(by, *shop.cut_off(*DOWN, at=at, by=by))
        shop.terminal.type(*DOWN)
        assert sorted(shop.holdings()) == [], at
        if KILLS:
            keep_tally(tally, [at])


@pytest.mark.nightly(like="tests/reality/test_kills.py::test_the_next_run_converges")
def test_the_cli_outlives_its_killed_driver_and_the_next_up_converges(
    shop: TypedShop, undisturbed: tuple[int, int, dict[str, int]]
) -> None:
    """As when memory runs out: only the driver is killed. The CLI notices and ends by itself."""
    code, said = shop.terminal.cut_off(*UP, at=3, by=signal.SIGKILL, alone=True)
    assert code == -signal.SIGKILL, said
    wait_for(lambda: not any(Path("/proc", str(pid)).exists() for pid in shop.lock_owners()))
    shop.hub.end_plugins()
    done = shop.terminal.type(*UP).json
    assert (done["state"], done["verified"]) == ("live", True)
    assert kinds(shop.holdings()) == undisturbed[2]
    shop.terminal.type(*DOWN)
    assert sorted(shop.holdings()) == []


def check_end(by: signal.Signals, code: int, said: list[str]) -> None:
    """By the signal, or well when that came too late; Ctrl-C leaves no traceback."""
    assert code in ((-by, 0) if by == signal.SIGKILL else (130, 0)), (code, said)
    assert "Traceback" not in "".join(said), said
