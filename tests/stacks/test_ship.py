"""The verbs over a small fake world: stories first, then a kill at every call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from infra.spec import AlarmSpec, ScaleSpec
from infra.targets.base import Phase
from modelpack.errors import BadInput, CloudRefused, Locked, Unhealthy
from modelpack.progress import Silent
from stacks import ship
from stacks.plan import Plan, plan
from stacks.pulumi_driver.driver import FakeDriver
from stacks.records.release import State
from stacks.run import Run
from stacks.settings import base_settings
from stacks.spec import Environment, Spec
from stacks.steps import tell_kept_logs


def states(world: Any) -> dict[int, str]:
    return {each.number: str(each.state) for each in world.process("any").ledger.releases()}


def test_the_first_release_is_made_verified_and_published(world: Any, spec_of: Any) -> None:
    outcome = ship.up(world.process("one"), spec_of())
    document = outcome.document()
    assert document["state"] == "live"
    assert document["verified"] is True
    assert document["release"] == 1
    assert document["restores"] is None
    assert document["image"] == "registry.example/shop-local@sha256:one"
    assert document["endpoint"] == "shop-local"
    assert document["driver"] == "fake driver"
    assert set(world.objects) == {"releases/shop/1.json", "rollouts/shop/1.json", "owner.json"}
    assert b'"live"' in world.objects["releases/shop/1.json"]


def test_nothing_changed_makes_no_mutating_call_and_runs_no_program(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    world.mutations.clear()
    events = len(world.store.records)
    deps = world.process("one")
    outcome = ship.up(deps, spec_of())
    assert outcome.done == "nothing to do"
    assert outcome.verified
    assert outcome.release.number == 1
    assert world.mutations == []
    assert deps.driver.calls == []
    assert len(world.store.records) == events


def test_the_log_of_an_endpoint_is_ours_from_the_beginning_or_not_at_all(world: Any, spec_of: Any) -> None:
    """SageMaker made that of an earlier release's endpoint, and a second group of its name is refused."""
    wanted = Run.of(world.process("one"), spec_of()).wanted
    ours = base_settings(wanted, None)
    assert (ours["log_days"], ours["target"]) == (30, "sagemaker")
    assert base_settings(wanted, {"log_group": "", "bucket": "b"}) == ours
    assert "log_days" not in base_settings(wanted, {"bucket": "b"})


def test_a_second_release_takes_over_and_the_first_stays_ready(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    outcome = ship.up(world.process("two"), spec_of())
    assert outcome.release.number == 2
    assert states(world) == {1: "superseded", 2: "live"}
    assert len(world.revisions) == 2


def test_a_broken_release_is_refused_and_the_old_one_serves(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    world.broken.add("sha256:bad")
    with pytest.raises(Unhealthy, match=r"golden request 1: .*Release 1 serves") as error:
        ship.up(world.process("bad"), spec_of())
    assert error.value.exit_code == 4
    deps = world.process("bad")
    failed = deps.ledger.find(2)
    assert failed.state is State.FAILED
    assert "golden request 1" in failed.cause
    assert len(world.revisions) == 1
    assert ship.status(deps, spec_of()).verified
    with pytest.raises(BadInput, match="release 2, and it failed"):
        ship.up(world.process("bad"), spec_of())
    world.broken.clear()
    assert ship.up(world.process("bad"), spec_of(), again=True).release.number == 3


def test_a_release_that_never_gets_ready_leaves_the_old_one(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    world.unready.add("sha256:slow")
    with pytest.raises(Unhealthy, match=r"model server ended.*Release 1 serves") as refused:
        ship.up(world.process("slow"), spec_of())
    assert refused.value.hint == "ecomdeploy releases"
    assert states(world) == {1: "live", 2: "failed"}


@pytest.mark.parametrize(("first", "way"), [(True, "broken"), (False, "broken"), (False, "unready")])
def test_what_a_failed_release_wrote_is_kept_where_it_goes_with_it(
    world: Any, spec_of: Any, first: bool, way: str
) -> None:
    if not first:
        ship.up(world.process("one"), spec_of())
    getattr(world, way).add("sha256:slow")
    world.written["sha256:slow"] = ["listening", "refused: no such file"]
    with pytest.raises(Unhealthy) as refused:
        ship.up(world.process("slow"), spec_of())
    number = 1 if first else 2
    assert refused.value.hint == f"ecomdeploy logs --release {number}"
    ledger = world.process("any").ledger
    assert ledger.kept_log(number) == ["listening", "refused: no such file"]
    assert ledger.kept_log(number + 1) == []
    assert states(world)[number] == "failed"


@pytest.mark.parametrize("way", ["broken", "unready"])
def test_a_first_release_that_fails_leaves_no_endpoint(world: Any, spec_of: Any, way: str) -> None:
    getattr(world, way).add("sha256:bad")
    with pytest.raises(Unhealthy, match="first release, so the endpoint was removed"):
        ship.up(world.process("bad"), spec_of())
    assert world.endpoint is None
    assert world.revisions == {}
    assert states(world) == {1: "failed"}
    assert ship.up(world.process("good"), spec_of()).release.number == 2
    assert len(world.revisions) == 1


def test_status_tells_a_first_release_that_was_killed_from_none(world: Any, spec_of: Any) -> None:
    assert ship.status(world.process("one"), spec_of()).problems == ("nothing is deployed here",)
    deps = world.process("one")
    deps.driver.refuse["service/shop-local"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        ship.up(deps, spec_of())
    (problem,) = ship.status(world.process("one"), spec_of()).problems
    assert problem == "release 1 is not finished: `ecomdeploy up` goes on with it"


def test_rollback_restores_the_same_image_without_pulumi(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    ship.up(world.process("two"), spec_of())
    deps = world.process("two")
    outcome = ship.rollback(deps, spec_of())
    assert deps.driver.calls == []
    assert outcome.document()["restores"] == 1
    assert outcome.release.number == 3
    assert outcome.release.image.endswith("sha256:one")
    assert outcome.verified
    assert states(world) == {1: "superseded", 2: "rolled-back", 3: "live"}
    with pytest.raises(BadInput, match="was rolled back"):
        ship.up(world.process("two"), spec_of())
    assert ship.up(world.process("one"), spec_of()).done in ("nothing to do", "updated")
    world.mutations.clear()
    assert ship.up(world.process("one"), spec_of()).done == "nothing to do"
    assert world.mutations == []


def test_rollback_can_go_forward_again(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    ship.up(world.process("two"), spec_of())
    ship.rollback(world.process("two"), spec_of())
    assert ship.rollback(world.process("two"), spec_of(), 2).release.restores == 2


def test_rollback_to_what_fell_out_of_the_window_provisions_it_first(world: Any, spec_of: Any) -> None:
    words = ["one", "two", "three", "four", "five", "six", "seven"]
    for word in words:
        ship.up(world.process(word), spec_of())
    assert len(world.revisions) == 6
    deps = world.process("seven")
    outcome = ship.rollback(deps, spec_of(), 1)
    assert outcome.release.restores == 1
    assert any(call.startswith("up service") for call in deps.driver.calls)
    assert len(world.revisions) == 6, "the live one and five more; what fell out is gone"


def test_rollback_tidies_up_after_a_killed_up(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    ship.up(world.process("two"), spec_of())
    deps = world.process("three")
    deps.driver.refuse["service/shop-local"] = CloudRefused("no more")
    with pytest.raises(CloudRefused):
        ship.up(deps, spec_of())
    world.revisions["shop-local-" + world.process("any").ledger.find(3).key] = (
        "registry.example/x@sha256:three"
    )
    ship.rollback(world.process("three"), spec_of(), 1)
    assert len(world.revisions) == 2


def test_tidying_up_that_fails_does_not_hide_why_the_release_failed(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    world.broken.add("sha256:bad")
    deps = world.process("bad")
    up, seen = deps.driver.up, []

    def second_time_refused(*arguments: Any, **named: Any) -> Any:
        seen.append(arguments)
        if len(seen) > 1:
            raise CloudRefused("throttled")
        return up(*arguments, **named)

    deps.driver.up = second_time_refused
    with pytest.raises(Unhealthy, match="golden request 1"):
        ship.up(deps, spec_of())
    assert any("not tidied up yet: throttled" in line for line in deps.progress.lines)
    assert ship.up(world.process("one"), spec_of()).verified
    assert len(world.revisions) == 1


def test_rollback_says_beforehand_when_it_cannot_be(world: Any, spec_of: Any) -> None:
    with pytest.raises(BadInput, match="nothing is live"):
        ship.rollback(world.process("one"), spec_of())
    ship.up(world.process("one"), spec_of())
    with pytest.raises(BadInput, match="no earlier release"):
        ship.rollback(world.process("one"), spec_of())
    with pytest.raises(BadInput, match="no release 9"):
        ship.rollback(world.process("one"), spec_of(), 9)
    with pytest.raises(BadInput, match="is what serves now"):
        ship.rollback(world.process("one"), spec_of(), 1)
    ship.up(world.process("two"), spec_of())
    world.revisions.pop(next(name for name, image in world.revisions.items() if "one" in image))
    world.pushed["registry.example/shop-local"].discard("sha256:one")
    with pytest.raises(BadInput, match="image is in no store any more"):
        ship.rollback(world.process("two"), spec_of())
    assert states(world) == {1: "superseded", 2: "live"}


def test_rollback_refuses_a_release_that_never_was_live(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    world.broken.add("sha256:bad")
    with pytest.raises(Unhealthy):
        ship.up(world.process("bad"), spec_of())
    with pytest.raises(BadInput, match="never was live"):
        ship.rollback(world.process("one"), spec_of(), 2)


def test_another_instance_is_another_release_of_the_same_pack(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    outcome = ship.up(world.process("one"), spec_of(instance="ml.c7i.2xlarge"))
    assert outcome.release.number == 2
    assert outcome.pushed_bytes == 0


def test_another_scale_is_no_release_but_is_applied(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    deps = world.process("one")
    outcome = ship.up(deps, spec_of(most=4))
    assert outcome.release.number == 1
    assert deps.driver.calls == ["up service/shop-local --refresh"]


def planned(world: Any, spec: Spec) -> Plan:
    """By a process that has the pack in hand."""
    deps = world.process("one")
    deps.builder.is_known = True
    return plan(deps, spec)


def test_without_automatic_scaling_the_number_of_replicas_is_held(world: Any, spec_of: Any) -> None:
    """On what stands, after an edit by hand, and after a way back to a release that began with fewer."""
    ship.up(world.process("one"), spec_of())
    wanted = replace(spec_of(), scale=ScaleSpec(min=3, max=4))
    seen = planned(world, wanted)
    assert (seen.release, seen.replicas, seen.has_work) == (None, (1, 3), True)
    assert seen.document()["replicas"] == {"now": 1, "then": 3}
    assert ship.up(world.process("one"), wanted).done == "updated"
    assert world.endpoint["replicas"] == 3
    assert planned(world, wanted).replicas is None
    assert ship.up(world.process("one"), wanted).done == "nothing to do"

    world.endpoint["replicas"] = 2
    assert ship.up(world.process("one"), wanted).done == "updated"
    assert world.endpoint["replicas"] == 3

    ship.up(world.process("two"), wanted)
    ship.rollback(world.process("two"), wanted)
    assert world.endpoint["replicas"] == 3


def test_what_scales_by_itself_is_left_alone(world: Any, spec_of: Any) -> None:
    scaling = replace(spec_of(), scale=ScaleSpec(min=3, max=4, target_rps=10))
    ship.up(world.process("one"), scaling)
    world.endpoint["replicas"] = 4
    assert planned(world, scaling).replicas is None
    assert ship.up(world.process("one"), scaling).done == "nothing to do"
    assert world.endpoint["replicas"] == 4


def test_what_plan_shows_of_other_hands_up_mends(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    world.buckets.clear()
    world.revisions.clear()
    deps = world.process("one")
    outcome = ship.up(deps, spec_of())
    assert outcome.done == "updated"
    assert deps.driver.calls == ["up base/shop-local --refresh", "up service/shop-local --refresh"]
    assert world.buckets
    assert world.revisions
    again = world.process("one")
    assert ship.up(again, spec_of()).done == "nothing to do"
    assert again.driver.calls == []


def test_what_serves_is_verified_only_while_it_could_serve_elsewhere(world: Any, spec_of: Any) -> None:
    """The servers that run need no model any more; the next ones will."""
    ship.up(world.process("one"), spec_of())
    assert ship.status(world.process("one"), spec_of()).verified
    world.unstartable.update(world.revisions)
    found = ship.status(world.process("one"), spec_of())
    assert not found.verified
    assert found.problems == tuple(f"there is no {revision}" for revision in world.revisions)


def test_the_cloud_refusing_is_no_mark_against_the_pack(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    deps = world.process("two")
    deps.driver.refuse["service/shop-local"] = CloudRefused("ResourceLimitExceeded: no more ml.c7i.xlarge")
    with pytest.raises(CloudRefused):
        ship.up(deps, spec_of())
    assert states(world) == {1: "live", 2: "interrupted"}
    assert ship.up(world.process("two"), spec_of()).release.number == 3
    assert states(world) == {1: "superseded", 2: "interrupted", 3: "live"}


def test_nothing_is_taken_away_while_traffic_is_on_its_way(world: Any, spec_of: Any) -> None:
    """Refused in the middle of a move, nobody knows yet where it ends."""
    ship.up(world.process("one"), spec_of())
    deps = world.process("two")
    deps.traffic.refuse = CloudRefused("ExpiredToken: the security token is expired")
    with pytest.raises(CloudRefused):
        ship.up(deps, spec_of())
    assert world.pending in world.revisions
    assert states(world) == {1: "live", 2: "interrupted"}
    assert ship.up(world.process("two"), spec_of()).verified


def test_down_leaves_base_and_can_be_repeated(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    outcome = ship.down(world.process("one"), spec_of())
    assert outcome.remaining == ("base/shop-local",)
    assert world.endpoint is None
    assert world.revisions == {}
    assert world.repositories
    assert states(world) == {1: "removed"}
    world.mutations.clear()
    ship.down(world.process("one"), spec_of())
    assert world.mutations == []
    assert ship.status(world.process("one"), spec_of()).document()["state"] == "removed"
    assert ship.up(world.process("two"), spec_of()).release.number == 2
    assert len(world.revisions) == 1


@pytest.mark.parametrize("rolled_back", [False, True])
def test_down_says_what_brings_it_back(world: Any, spec_of: Any, rolled_back: bool) -> None:
    ship.up(world.process("one"), spec_of())
    ship.up(world.process("two"), spec_of())
    if rolled_back:
        ship.rollback(world.process("two"), spec_of())
    hint = ship.down(world.process("two"), spec_of()).hint
    assert hint == ("ecomdeploy up --again" if rolled_back else "ecomdeploy up")
    assert ship.up(world.process("two"), spec_of(), again="--again" in hint).verified
    if rolled_back:
        ship.down(world.process("two"), spec_of())
        assert ship.up(world.process("two"), spec_of()).verified, (
            "it was shipped again, and not rolled back since"
        )


def test_down_all_sweeps_first_and_can_be_repeated(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    deps = world.process("one")
    outcome = ship.down(deps, spec_of(), everything=True)
    assert deps.sweeper.swept == ["shop-local-123456789012", "registry.example/shop-local"]
    assert outcome.remaining == ()
    assert not world.repositories
    ship.down(world.process("one"), spec_of(), everything=True)


class Told(Silent):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, line: str) -> None:
        self.notes.append(line)


def test_down_all_names_the_log_group_that_is_in_no_stack(world: Any, spec_of: Any) -> None:
    """Of a base of an earlier release; today's has it, and takes it away."""
    told = Told()
    run = Run.of(replace(world.process("one"), progress=told), spec_of())
    for base in ({}, {"bucket": "b", "log_group": "/aws/sagemaker/Endpoints/shop-local"}):
        run.base = base
        tell_kept_logs(run)
    assert told.notes == []
    run.base = {"bucket": "b"}
    tell_kept_logs(run)
    (note,) = told.notes
    assert (
        "aws logs delete-log-group --log-group-name /aws/sagemaker/Endpoints/shop-local --region us-east-1"
        in note
    )


def test_after_down_all_another_driver_may_begin(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    ship.down(world.process("one"), spec_of())
    other = replace(world.process("one"), driver=FakeDriver(kind="pulumi"))
    with pytest.raises(BadInput, match="deployed with the embedded engine"):
        ship.down(other, spec_of(), everything=True)
    ship.down(world.process("one"), spec_of(), everything=True)
    assert ship.down(other, spec_of(), everything=True).remaining == ()


def test_down_all_leaves_the_platform_of_others_on_aws(world: Any, spec_of: Any) -> None:
    shared = spec_of()
    shared = replace(shared, environment=Environment(name="local", cloud="aws", account="123456789012"))
    deps = world.process("one")
    deps.driver.stacks["platform/local"] = ({}, {"vpc_id": "vpc-1"})
    assert ship.down(deps, shared, everything=True).remaining == ("platform/local",)
    assert ship.down(world.process("one"), spec_of(), everything=True).remaining == ()


def test_a_live_writer_keeps_others_out(world: Any, spec_of: Any) -> None:
    busy = world.process("one")
    with (
        Run.of(busy, spec_of()).hold_lease("up"),
        pytest.raises(Locked, match=r"ecomdeploy up.*someone") as error,
    ):
        ship.up(world.process("two"), spec_of())
    assert "kill 1" in error.value.hint
    assert ship.up(world.process("two"), spec_of()).release.number == 1


def test_a_reset_cloud_is_noticed_and_everything_comes_back(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    world.endpoint, world.generation = None, "2"
    world.revisions.clear(), world.repositories.clear(), world.buckets.clear(), world.pushed.clear()
    world.objects.clear()
    outcome = ship.up(world.process("one"), spec_of())
    assert outcome.done == "updated"
    assert world.endpoint is not None
    assert set(world.objects) == {"releases/shop/1.json", "rollouts/shop/1.json", "owner.json"}


@pytest.mark.parametrize("kept_locally", [True, False])
@pytest.mark.parametrize("word", ["two", "three"])
def test_after_a_reset_older_images_are_sent_again_or_given_up(
    world: Any, spec_of: Any, word: str, kept_locally: bool
) -> None:
    ship.up(world.process("one"), spec_of())
    ship.up(world.process("two"), spec_of())
    world.endpoint, world.generation = None, "2"
    world.revisions.clear(), world.repositories.clear(), world.buckets.clear(), world.pushed.clear()
    world.objects.clear()
    world.stored = {"sha256:one", "sha256:two", "sha256:three"} if kept_locally else set()
    assert ship.up(world.process(word), spec_of()).verified
    before = {"two": ["one"], "three": ["one", "two"]}[word]
    served = sorted(image.rpartition(":")[2] for image in world.revisions.values())
    assert served == sorted([word, *(before if kept_locally else [])])
    assert ship.up(world.process(word), spec_of()).done == "nothing to do"
    if kept_locally:
        assert ship.rollback(world.process(word), spec_of(), 1).verified


def test_a_release_that_serves_is_not_given_up_for_its_lost_image(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    world.pushed.clear()
    deps = world.process("two")
    world.must_serve = {"sha256:one", "sha256:two"}
    assert ship.up(deps, spec_of(), refresh=True).verified
    assert states(world) == {1: "superseded", 2: "live"}


@pytest.mark.parametrize("how", ["failed", "deleted"])
def test_an_endpoint_that_is_no_more_is_made_anew(world: Any, spec_of: Any, how: str) -> None:
    def lose() -> None:
        assert world.endpoint is not None
        world.endpoint = {**world.endpoint, "phase": Phase.FAILED} if how == "failed" else None

    ship.up(world.process("one"), spec_of())
    lose()
    assert ship.up(world.process("one"), spec_of()).verified
    lose()
    assert ship.up(world.process("two"), spec_of()).release.number == 2
    lose()
    assert ship.rollback(world.process("two"), spec_of(), 1).verified
    assert len(world.revisions) == 2
    assert states(world) == {1: "superseded", 2: "rolled-back", 3: "live"}


@pytest.mark.parametrize("lost", ["endpoint", "bucket", "repository", "image", "record", "moved"])
def test_what_the_release_stands_on_is_looked_at_even_when_nothing_changed(
    world: Any, spec_of: Any, lost: str
) -> None:
    """The cloud lost one thing behind our back, and says it is the same cloud."""
    ship.up(world.process("zero"), spec_of())
    ship.up(world.process("one"), spec_of())
    before = (world.endpoint["revision"], dict(world.objects))
    if lost == "endpoint":
        world.endpoint = None
    elif lost == "bucket":
        world.buckets.clear()
    elif lost == "repository":
        world.repositories.clear()
    elif lost == "image":
        world.pushed.clear()
    elif lost == "record":
        world.objects.clear()
    else:
        assert world.endpoint is not None
        other = next(name for name in world.revisions if name != world.endpoint["revision"])
        world.endpoint = {"revision": other, "phase": Phase.SERVING}
    outcome = ship.up(world.process("one"), spec_of())
    assert outcome.verified
    assert (world.endpoint["revision"], world.objects) == before
    assert world.repositories
    assert world.buckets
    assert "sha256:one" in world.pushed["registry.example/shop-local"]


def converged(world: Any, spec_of: Any, word: str, number_of_releases: int) -> None:
    """What must hold after a kill and one more `up`."""
    outcome = ship.up(world.process(word), spec_of())
    assert outcome.verified
    assert outcome.release.state is State.LIVE
    live = [number for number, state in states(world).items() if state == "live"]
    assert live == [outcome.release.number]
    assert world.endpoint["phase"] is Phase.SERVING
    assert world.revisions[world.endpoint["revision"]].endswith(f"sha256:{word}")
    assert len(world.revisions) == number_of_releases, "nothing orphaned, nothing doubled"
    assert len(set(world.revisions.values())) == number_of_releases
    world.mutations.clear()
    again = ship.up(world.process(word), spec_of())
    assert again.done == "nothing to do"
    assert world.mutations == []
    ledger = world.process(word).ledger
    records = {f"releases/shop/{each.number}.json" for each in ledger.releases()}
    assert {one for one in world.objects if not one.startswith("rollouts/")} == records | {"owner.json"}
    assert not ledger.find_unfinished()


def every_fuse(story: Any) -> int:
    """Tell the story with the fuse at 1, 2, 3 ... until it no longer blows; how many kills that were."""
    fuse = 1
    while story(fuse):
        fuse += 1
    assert fuse > 15, "the fuse must have something to blow at"
    return fuse - 1


def test_the_first_up_survives_a_kill_at_every_call(new_world: Any, spec_of: Any) -> None:
    def story(fuse: int) -> bool:
        world = new_world()
        blew = world.kill_at(fuse, lambda: ship.up(world.process("one"), spec_of()))
        converged(world, spec_of, "one", 1)
        assert set(states(world)) == {1}, "the release is gone on with, not begun again"
        return blew

    every_fuse(story)


def test_the_second_up_survives_a_kill_at_every_call(new_world: Any, spec_of: Any) -> None:
    def story(fuse: int) -> bool:
        world = new_world()
        ship.up(world.process("one"), spec_of())
        deps = world.process("two")
        world.must_serve = {"sha256:one", "sha256:two"}
        blew = world.kill_at(fuse, lambda: ship.up(deps, spec_of()))
        converged(world, spec_of, "two", 2)
        assert set(states(world)) == {1, 2}
        return blew

    every_fuse(story)


def test_after_a_kill_the_user_may_change_their_mind(new_world: Any, spec_of: Any) -> None:
    """Killed on the way to two, and then one again, or three."""

    def story(word: str, left: int) -> Any:
        def told(fuse: int) -> bool:
            world = new_world()
            ship.up(world.process("one"), spec_of())
            deps = world.process("two")
            world.must_serve = {"sha256:one", "sha256:two"}
            blew = world.kill_at(fuse, lambda: ship.up(deps, spec_of()))
            if states(world).get(2) != "live":
                converged(world, spec_of, word, left)
            return blew

        return told

    every_fuse(story("one", 1))
    every_fuse(story("three", 2))


def test_a_broken_release_survives_a_kill_at_every_call(new_world: Any, spec_of: Any) -> None:
    """Wherever it is killed, it ends as failed and the old one serves."""

    def story(fuse: int) -> bool:
        world = new_world()
        ship.up(world.process("one"), spec_of())
        world.broken.add("sha256:bad")

        def attempt() -> None:
            with pytest.raises((Unhealthy, BadInput)):
                ship.up(world.process("bad"), spec_of())

        blew = world.kill_at(fuse, attempt)
        attempt()
        assert states(world) == {1: "live", 2: "failed"}
        converged(world, spec_of, "one", 1)
        return blew

    every_fuse(story)


@pytest.mark.parametrize("number", [1, None])
def test_rollback_survives_a_kill_at_every_call(new_world: Any, spec_of: Any, number: int | None) -> None:
    """Typed again, with the number or without, it goes on to where it went."""

    def story(fuse: int) -> bool:
        world = new_world()
        ship.up(world.process("one"), spec_of())
        ship.up(world.process("two"), spec_of())
        deps = world.process("two")
        world.must_serve = {"sha256:one", "sha256:two"}
        blew = world.kill_at(fuse, lambda: ship.rollback(deps, spec_of(), number))
        if blew and world.process("two").ledger.live().restores != 1:
            ship.rollback(world.process("two"), spec_of(), number)
        assert world.revisions[world.endpoint["revision"]].endswith("one")
        converged(world, spec_of, "one", 2)
        return blew

    every_fuse(story)


def test_down_survives_a_kill_at_every_call(new_world: Any, spec_of: Any) -> None:
    def story(fuse: int) -> bool:
        world = new_world()
        ship.up(world.process("one"), spec_of())
        ship.up(world.process("two"), spec_of())
        deps = world.process("two")
        blew = world.kill_at(fuse, lambda: ship.down(deps, spec_of(), everything=True))
        ship.down(world.process("two"), spec_of(), everything=True)
        assert world.endpoint is None
        assert world.revisions == {}
        assert not world.repositories
        assert set(states(world).values()) == {"removed"}
        return blew

    every_fuse(story)


def test_an_alarm_on_what_the_pack_does_not_count_is_refused_before_anything_is_made(
    world: Any, spec_of: Any
) -> None:
    rollout = replace(spec_of().rollout, alarms=AlarmSpec(guardrails={"declined": 0.1}))
    with pytest.raises(BadInput, match="the use case has no guardrail 'declined'"):
        ship.up(world.process("one"), replace(spec_of(), rollout=rollout))
    assert world.mutations == []
