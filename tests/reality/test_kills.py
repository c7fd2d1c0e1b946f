"""`kill -9` and Ctrl-C of the driver on the real CLI at its mutating calls, with a provider that adopts nothing.

The points are counted at the cloud: as many as a run makes mutating calls. At each the cloud has done what was asked
and nobody was told. The next run must converge: the same things as without a kill, each of them in the state, and
nothing left after `destroy`. `make test-reality` takes a sample of the points, with ALL=1 every one; with KILLS=all (or
12-37) it does nothing else, and what converged is kept for the page.
"""

from __future__ import annotations

import pathlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import programs
import pytest

from stacks.pulumi_driver.driver import Stack
from tests.reality.cut_offs import CutOffs, keep
from tests.reality.driven import Operation
from tests.reality.extent import EVERY, KILLS, points
from tests.reality.rig import Rig, kinds
from tests.reality.shop import BASE, NAME, PLATFORM, service_settings

pytestmark = [pytest.mark.slow, pytest.mark.reality, pytest.mark.timeout(0)]

KILL, INTERRUPT = signal.SIGKILL, signal.SIGINT
SAMPLES = (
    ("base", KILL, 2),
    ("base", INTERRUPT, 1),
    ("service", KILL, 1),
    ("service", INTERRUPT, 0),
    ("platform", KILL, 1),
    ("platform", INTERRUPT, 0),
)
"""How many points of a stack a run takes that does not take every one."""
IN_CI = (("service", KILL),)


def left_to_the_night(program: str, by: signal.Signals) -> list[pytest.MarkDecorator]:
    like = pytest.mark.nightly(like="test_the_next_run_converges")
    return [] if (program, by) in IN_CI else [like]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, pulumi_binary: pathlib.Path) -> Iterator[Rig]:
    made = Rig(tmp_path_factory.mktemp("kills"), pulumi_binary)
    yield made
    made.close()


@dataclass
class Subject:
    """One stack's life. `ground`: what it stands on; `whole`: how many of each kind are there when it is up."""

    rig: Rig
    stack: Stack

    def lay_ground(self) -> None:
        """The stacks below it, and its settings."""
        self.settings = ground_of(self.rig, self.stack.program)
        self.ground = self.rig.holdings()

    def up(self, *, refresh: bool = True) -> Operation:
        return Operation("up", self.stack, {**programs.LOCAL, **self.settings}, refresh)

    def destroy(self) -> Operation:
        return Operation("destroy", self.stack)

    def measure(self) -> None:
        """An undisturbed life, for its number of mutating calls and what it makes."""
        rig = self.rig
        before = rig.place.mutating()
        rig.well(self.up())
        self.ups = len(rig.calls)
        assert rig.place.mutating() - before == self.ups, "the fuse counts what the cloud counts"
        self.whole = kinds(rig.holdings())
        assert rig.orphans(self.stack) == []
        rig.well(self.up())
        assert rig.calls == [], "an unchanged stack is left alone"
        rig.well(self.destroy())
        self.downs = len(rig.calls)
        assert rig.holdings() == self.ground

    def cut_off(self, at: int, by: signal.Signals) -> None:
        """`up` and `destroy` are each cut off at their n-th mutating call, and then let through."""
        rig = self.rig
        if at <= self.ups:
            self.interrupt(self.up(), at, by)
        rig.well(self.up())
        assert rig.orphans(self.stack) == []
        assert kinds(rig.holdings()) == self.whole
        if at <= self.downs:
            self.interrupt(self.destroy(), at, by)
        rig.well(self.destroy())
        assert sorted(rig.holdings() - self.ground) == []
        assert rig.checkpoint(self.stack) == {}

    def interrupt(self, operation: Operation, at: int, by: signal.Signals) -> None:
        ended = self.rig.run(operation, at=at, by=by)
        if by == KILL:
            assert ended.code == -KILL, f"{operation.verb} made no {at} mutating calls: {ended.said}"
            return
        assert "Traceback" not in ended.said, ended.said
        assert ended.code in (130, 0), f"exit {ended.code}\n{ended.said}"
        assert self.rig.locks() == [], "the CLI ended in order"
        state = self.rig.checkpoint(self.stack).get("checkpoint", {}).get("latest") or {}
        assert state.get("pending_operations", []) == []


def ground_of(rig: Rig, program: str) -> dict[str, Any]:
    """A program's settings, with what it stands on brought up."""
    if program == "base":
        return BASE
    if program == "platform":
        return PLATFORM
    rig.well(Operation("up", Stack("base", NAME), {**programs.LOCAL, **BASE}, True))
    return service_settings([rig.place.push(NAME, letter) for letter in "ab"])


@pytest.fixture(scope="module")
def subject(rig: Rig, request: pytest.FixtureRequest) -> Iterator[Subject]:
    program = request.param
    made = Subject(rig, Stack(program, "local" if program == "platform" else NAME))
    made.lay_ground()
    made.measure()
    yield made
    if program == "service":
        rig.well(Operation("destroy", Stack("base", NAME)))
        assert rig.holdings() == frozenset()


@pytest.mark.parametrize(
    ("subject", "by", "count"),
    [
        pytest.param(program, by, count, id=f"{program}-{by.name}", marks=left_to_the_night(program, by))
        for program, by, count in SAMPLES
        if EVERY or KILLS or count
    ],
    indirect=["subject"],
)
def test_the_next_run_converges(subject: Subject, by: signal.Signals, count: int) -> None:
    chosen = points(max(subject.ups, subject.downs), count)
    today = date.today().isoformat()
    tally = CutOffs(subject.stack.program, by.name, subject.ups, subject.downs, today)
    failed = {}
    for at in chosen:
        try:
            subject.cut_off(at, by)
            if KILLS:
                keep(tally, [at])
        except AssertionError as error:
            failed[at] = str(error)
            subject.rig.start_over()
            subject.lay_ground()
    print(f"{subject.stack} {by.name}: {len(chosen)} points of {subject.ups} up, {subject.downs} down")
    assert failed == {}
