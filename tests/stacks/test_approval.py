"""`up --await-approval`: made, verified, without traffic, until somebody else says yes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from modelpack.errors import BadInput, NotApproved, Unhealthy
from modelpack.progress import Silent
from stacks import ship
from stacks.candidates import make_candidate
from stacks.records.release import State
from stacks.run import Run
from stacks.terms.approval import answer, read_approval


class Killed(BaseException):
    """The waiting process is gone."""


@pytest.fixture
def shop(world: Any, spec_of: Any) -> Any:
    """The first release is live."""
    ship.up(world.process("one"), spec_of())
    return world


def waiting(world: Any, word: str, meanwhile: Callable[[], None], looks: int = 3) -> Any:
    """A process in which, at the third look for an answer, something happens elsewhere."""
    seen = 0

    def sleep(seconds: float) -> None:
        nonlocal seen
        seen += 1
        if seen == looks:
            meanwhile()

    return replace(world.process(word), sleep=sleep)


def says(world: Any, number: int, approved: bool, why: str = "") -> Callable[[], None]:
    """Another process answers, and before that sees that nothing of the release has traffic."""

    def act() -> None:
        assert world.revisions[world.endpoint["revision"]].endswith("sha256:one")
        assert any(image.endswith("sha256:two") for image in world.revisions.values())
        answer(world.process("any").ledger, number, "ann@desk", approved=approved, why=why)

    return act


def states(world: Any) -> list[str]:
    return [str(each.state) for each in world.process("any").ledger.releases()]


def test_an_approved_release_gets_its_traffic_and_the_ledger_says_by_whom(shop: Any, spec_of: Any) -> None:
    deps = waiting(shop, "two", says(shop, 2, True, "looks right"))
    done = ship.up(deps, spec_of(), approval=60)
    assert (done.done, done.release.number) == ("live", 2)
    timeline = shop.process("any").ledger.find(2).timeline
    assert [str(one.state) for one in timeline] == [
        "begun", "provisioned", "awaiting-approval", "provisioned", "shifting", "live",
    ]  # fmt: skip
    assert timeline[3].cause.startswith("approved by ann@desk at 2026-")
    assert timeline[3].cause.endswith(": looks right")
    assert isinstance(deps.progress, Silent)
    assert any(
        "whoever may write approvals/2.json may approve: ecomdeploy approve 2" in one
        for one in deps.progress.lines
    )


def test_a_refused_one_ends_with_its_own_code_and_is_taken_away(shop: Any, spec_of: Any) -> None:
    with pytest.raises(
        NotApproved, match=r"refused by ann@desk at .*: not on a Friday; it has no traffic"
    ) as refused:
        ship.up(waiting(shop, "two", says(shop, 2, False, "not on a Friday")), spec_of(), approval=60)
    assert refused.value.exit_code == 6
    assert states(shop) == ["live", "refused"]
    assert list(shop.revisions.values()) == ["registry.example/shop-local@sha256:one"]
    with pytest.raises(BadInput, match="it was refused: refused by ann@desk"):
        ship.up(shop.process("two"), spec_of())
    assert ship.up(shop.process("two"), spec_of(), again=True).release.number == 3


def test_nobody_answers_in_time(shop: Any, spec_of: Any) -> None:
    with pytest.raises(NotApproved, match=r"approved by nobody until 2026-.*; it has no traffic"):
        ship.up(waiting(shop, "two", lambda: None), spec_of(), approval=0.5)
    assert states(shop) == ["live", "removed"]
    with pytest.raises(BadInput, match="release 2 does not wait for approval: it is removed"):
        answer(shop.process("any").ledger, 2, "ann@desk", approved=True, why="")
    assert ship.up(waiting(shop, "two", says(shop, 3, True)), spec_of(), approval=60).release.number == 3


@pytest.mark.parametrize("answered", ["while it was away", "later"])
@pytest.mark.parametrize("approval", [None, 60])
def test_a_killed_run_is_waited_for_by_the_next(
    shop: Any, spec_of: Any, answered: str, approval: float | None
) -> None:
    """Also by one that does not ask for approval: what was asked for holds for this release."""

    def kill() -> None:
        raise Killed

    with pytest.raises(Killed):
        ship.up(waiting(shop, "two", kill), spec_of(), approval=60)
    shop.dead.add(shop.runs)
    until = read_approval(shop.process("any").ledger, 2)
    found = ship.status(shop.process("any"), spec_of())
    assert any("waits for approval until" in note and "ecomdeploy approve 2" in note for note in found.notes)
    if answered == "while it was away":
        says(shop, 2, True)()
        done = ship.up(shop.process("two"), spec_of(), approval=approval)
    else:
        done = ship.up(waiting(shop, "two", says(shop, 2, True)), spec_of(), approval=approval)
    assert (done.done, done.release.number) == ("live", 2)
    given = read_approval(shop.process("any").ledger, 2)
    assert until
    assert given
    assert given.until == until.until
    told = [each.cause for each in shop.process("any").ledger.find(2).timeline]
    assert given.words.startswith("approved by ann@desk")
    assert told.count(given.words) == 1, "the history says who, also where nobody waited for it"


def test_the_first_release_is_not_made_before_it_is_approved(world: Any, spec_of: Any) -> None:
    """Its endpoint would be in traffic."""

    def agree() -> None:
        assert world.endpoint is None
        answer(world.process("any").ledger, 1, "ann@desk", approved=True, why="")

    assert ship.up(waiting(world, "one", agree), spec_of(), approval=60).done == "live"


def test_one_that_cannot_take_traffic_is_not_asked_about(shop: Any, spec_of: Any) -> None:
    deps = waiting(shop, "two", lambda: pytest.fail("nobody is to be asked"))
    release = make_candidate(
        Run.of(deps, spec_of()).wanted, deps.builder.pack, "registry.example/shop-local", ""
    )
    shop.unstartable = {f"shop-local-{release.key}"}
    with pytest.raises(Unhealthy, match="release 2 did not verify: there is no shop-local-"):
        ship.up(deps, spec_of(), approval=60)
    assert states(shop) == ["live", "failed"]


def test_only_the_first_answer_counts_and_only_of_one_that_waits(shop: Any, spec_of: Any) -> None:
    def twice() -> None:
        says(shop, 2, False)()
        with pytest.raises(BadInput, match="release 2 has its answer: refused by ann@desk"):
            answer(shop.process("any").ledger, 2, "bob@desk", approved=True, why="")

    with pytest.raises(NotApproved):
        ship.up(waiting(shop, "two", twice), spec_of(), approval=60)
    for number, what in ((1, "it is live"), (2, "it is refused"), (7, "there is no release 7")):
        with pytest.raises(BadInput, match=what):
            answer(shop.process("any").ledger, number, "bob@desk", approved=True, why="")


@pytest.mark.parametrize("approved", [True, False])
def test_a_kill_at_any_call_of_a_waiting_run_converges(new_world: Any, spec_of: Any, approved: bool) -> None:
    """One release serves throughout; the answer counts once it is given, whoever reads it."""
    for fuse in range(1, 200):
        world = new_world()
        ship.up(world.process("one"), spec_of())
        given: list[bool] = []

        def agree(world: Any = world, given: list[bool] = given) -> None:
            fuse, calls, world.fuse = world.fuse, world.calls, None
            ledger = world.process("any").ledger
            answer(ledger, ledger.newest().number, "ann@desk", approved=approved, why="")
            world.fuse, world.calls = fuse, calls
            given.append(True)

        deps = waiting(world, "two", agree, looks=1)
        world.must_serve = {"sha256:one", "sha256:two"} if approved else {"sha256:one"}
        try:
            killed = world.kill_at(fuse, lambda deps=deps: ship.up(deps, spec_of(), approval=60))
        except NotApproved:
            killed = False
        world.dead |= set(range(world.runs + 1))
        if not killed:
            assert fuse > (40 if approved else 25), fuse
            return
        retry = waiting(world, "two", agree, looks=1)
        try:
            ship.up(retry, spec_of(), approval=60, again=True)
        except NotApproved:
            assert not approved
        live = world.process("any").ledger.live()
        assert live
        assert live.number == (2 if approved else 1)
        assert State.AWAITING not in {each.state for each in world.process("any").ledger.releases()}
    pytest.fail("the run never ended")
