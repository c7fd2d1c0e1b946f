"""One owner, and a history that never begins anew: a lost folder, a second checkout, a service of another name."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from infra.spec import ScaleSpec
from modelpack.errors import BadInput, CloudRefused, EcomdeployError
from modelpack.progress import Progress
from stacks import platform, ship
from stacks.collaborators import FakeImageRegistry
from stacks.plan import plan
from stacks.pulumi_driver.driver import Change, FakeDriver, Settings, Stack
from stacks.records.ledger import Ledger
from stacks.records.owner import read_owner
from stacks.recover import recover
from stacks.run import describe_found


def lose_folder(world: Any) -> dict[str, bytes]:
    """Its records, and the state of its stacks."""
    kept = dict(world.store.records)
    world.store.records.clear()
    world.state.clear()
    return kept


@pytest.fixture
def three(world: Any, spec_of: Any) -> Any:
    """Two releases and a rollback to the first, that all are known of."""
    ship.up(world.process("one"), spec_of())
    ship.up(world.process("two"), spec_of())
    ship.rollback(world.process("two"), spec_of())
    return world


def states(world: Any) -> dict[int, str]:
    """Of the releases, by the ledger."""
    return {each.number: str(each.state) for each in world.process("any").ledger.releases()}


def told(world: Any) -> dict[int, str]:
    """The same by the records in the bucket."""
    records = (json.loads(data) for key, data in world.objects.items() if key.startswith("releases/shop/"))
    return {each["number"]: each["timeline"][-1]["state"] for each in records}


def history(world: Any) -> list[Any]:
    return [each.document() for each in world.process("any").ledger.releases()]


def test_a_lost_ledger_is_rebuilt_as_it_was(three: Any, spec_of: Any) -> None:
    before, owner = history(three), read_owner(three.store)
    lose_folder(three)
    done = recover(three.process("one"), spec_of())
    assert (done.added, done.live) == ((1, 2, 3), 3)
    assert "the endpoint is on release 3" in done.found
    assert history(three) == before
    assert read_owner(three.store).id == owner.id
    assert ship.status(three.process("one"), spec_of()).verified
    assert ship.rollback(three.process("one"), spec_of(), 2).release.number == 4
    again = recover(three.process("one"), spec_of())
    assert (again.added, again.live) == ((), 4)


def test_what_is_made_anew_on_the_way_is_told(three: Any, spec_of: Any) -> None:
    lose_folder(three)
    three.repositories.clear()
    done = recover(three.process("one"), spec_of())
    assert [(each.op, each.name) for each in done.changes] == [("create", "registry.example/shop-local")]
    assert [each["op"] for each in done.document()["changes"]] == ["create"]


def test_nothing_begins_anew_where_the_bucket_has_records(three: Any, spec_of: Any) -> None:
    lose_folder(three)
    before = list(three.mutations)
    for verb in (ship.up, ship.rollback, ship.down):
        with pytest.raises(BadInput, match=r"records of 3 releases of shop-local \(the last: 3\)") as refused:
            verb(three.process("one"), spec_of())
        assert refused.value.hint == "ecomdeploy recover"
    status = ship.status(three.process("one"), spec_of())
    assert "records of 3 releases" in status.problems[0]
    assert status.hint == "ecomdeploy recover"
    assert any(note.startswith("`up` will refuse") for note in plan(three.process("one"), spec_of()).notes)
    assert three.mutations == before


def test_an_older_copy_of_the_folder_is_behind_the_bucket(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    older = dict(world.store.records)
    ship.up(world.process("two"), spec_of())
    world.store.records.clear()
    world.store.records |= older
    with pytest.raises(BadInput, match="a history that ends before them"):
        ship.up(world.process("three"), spec_of())
    done = recover(world.process("two"), spec_of())
    assert (done.added, done.live) == ((1, 2), 2)
    assert states(world) == {1: "superseded", 2: "live"} == told(world)
    back = ship.rollback(world.process("two"), spec_of())
    assert (back.release.number, back.release.restores) == (3, 1)
    assert states(world) == {1: "superseded", 2: "rolled-back", 3: "live"} == told(world)
    assert ship.up(world.process("three"), spec_of()).release.number == 4


def test_an_older_copy_with_the_same_numbers_is_behind_too(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    older = dict(world.store.records)
    ship.down(world.process("one"), spec_of())
    world.store.records.clear()
    world.store.records |= older
    with pytest.raises(BadInput, match="tells of release 1 of shop-local what came after") as refused:
        ship.up(world.process("one"), spec_of())
    assert refused.value.hint == "ecomdeploy recover"
    done = recover(world.process("one"), spec_of())
    assert (done.added, done.live) == ((1,), None)
    assert not any("agrees" in line for line in done.found)
    assert states(world) == {1: "removed"} == told(world)


def test_a_second_checkout_changes_nothing(three: Any, spec_of: Any) -> None:
    lose_folder(three)
    three.standing.add("/here")
    before = list(three.mutations)
    for verb in (ship.up, ship.down, recover):
        with pytest.raises(BadInput, match="shop-local belongs to the project in /here"):
            verb(three.process("two"), spec_of())
    with pytest.raises(BadInput, match="belongs to"):
        ship.down(three.process("two"), spec_of(), everything=True)
    assert three.mutations == before
    assert "belongs to" in ship.status(three.process("two"), spec_of()).problems[0]


def test_adopting_takes_the_history_and_gives_another_owner(three: Any, spec_of: Any) -> None:
    first = read_owner(three.store)
    kept = lose_folder(three)
    three.standing.add("/here")
    assert ship.up(three.process("two"), spec_of(), again=True, adopt=True).release.number == 4
    second = read_owner(three.store)
    assert second.id != first.id
    three.store.records.clear()
    three.store.records |= kept
    with pytest.raises(BadInput, match=f"owner {second.id}"):
        ship.up(three.process("one"), spec_of())


def test_an_owner_that_is_gone_locks_no_folder_out(three: Any, spec_of: Any) -> None:
    kept = lose_folder(three)
    three.standing.add("/here")
    ship.up(three.process("two"), spec_of(), again=True, adopt=True)
    second = read_owner(three.store)
    three.store.records.clear()
    three.store.records |= kept
    with pytest.raises(BadInput, match=f"owner {second.id}"):
        ship.up(three.process("one"), spec_of())
    three.standing.clear()
    with pytest.raises(BadInput, match="records of 1 releases"):
        ship.up(three.process("one"), spec_of())
    assert recover(three.process("one"), spec_of()).live == 4
    assert ship.up(three.process("one"), spec_of(), again=True).release.number == 5


@pytest.mark.parametrize("host", ["here", "elsewhere"])
def test_only_an_owner_that_was_looked_at_is_at_its_place(host: str, three: Any, spec_of: Any) -> None:
    lose_folder(three)
    three.standing.add("/here")
    deps = three.process("two")
    with pytest.raises(BadInput, match="belongs to the project in /here") as refused:
        recover(replace(deps, me=replace(deps.me, host=host)), spec_of())
    assert ("at its place" in str(refused.value)) == (host == "here")


def owners(world: Any) -> dict[str, str]:
    """Of the stacks, by what their programs were told."""
    return {name: settings.get("owner", "") for name, (settings, _) in world.state.items()}


def test_the_programs_are_told_whose_their_stack_is(three: Any, spec_of: Any) -> None:
    mine = read_owner(three.store).id
    assert owners(three) == {"base/shop-local": mine, "service/shop-local": mine}


def test_stacks_of_before_get_their_owner_once_and_nothing_is_made_anew(three: Any, spec_of: Any) -> None:
    """As an earlier version left them: no owner in any settings, none in the store or the bucket."""
    spec = replace(spec_of(), scale=ScaleSpec(max=2))  # so that the last run of before is none of today's
    del three.store.records["owner.json"], three.objects["owner.json"]
    for name, (settings, outputs) in list(three.state.items()):
        three.state[name] = ({key: one for key, one in settings.items() if key != "owner"}, outputs)
        three.store.records.pop(f"stacks/{name.replace('/', '-')}.json")
    before, revisions = ship.status(three.process("one"), spec).release, dict(three.revisions)
    assert ship.up(three.process("one"), spec).release == before
    assert three.revisions == revisions
    mine = read_owner(three.store).id
    assert owners(three) == {"base/shop-local": mine, "service/shop-local": mine}
    assert ship.up(three.process("one"), spec).done == "nothing to do"


def test_what_was_taken_over_may_be_adopted_from_then_on(three: Any, spec_of: Any) -> None:
    """A kill between the take-over and the last stack leaves things of both owners."""
    first = read_owner(three.store).id
    lose_folder(three)
    three.standing.add("/here")
    deps = three.process("two")
    ship.up(deps, spec_of(), again=True, adopt=True)
    assert deps.driver.accepted == {"*"}
    for verb in (partial(ship.up, again=True), plan, ship.down):
        later = three.process("two")
        verb(later, spec_of())
        assert later.driver.accepted == {first}


def test_down_takes_anothers_service_only_when_asked(three: Any, spec_of: Any) -> None:
    lose_folder(three)
    three.standing.add("/here")
    with pytest.raises(BadInput, match="belongs to the project in /here") as refused:
        ship.down(three.process("two"), spec_of())
    assert "down --adopt" in refused.value.hint
    assert three.endpoint is not None
    done = ship.down(three.process("two"), spec_of(), everything=True, adopt=True)
    assert (three.endpoint, three.revisions, three.repositories) == (None, {}, set())
    assert (done.done, done.release.number, done.remaining) == ("removed", 3, ())


def test_down_of_what_nobody_knows_is_refused_even_then(three: Any, spec_of: Any) -> None:
    """Neither ledger nor bucket says what it is made of, so nothing would be deleted but its traffic."""
    lose_folder(three)
    three.objects.clear()
    for adopt in (False, True):
        with pytest.raises(BadInput):
            ship.down(three.process("two"), spec_of(), adopt=adopt)
    assert three.endpoint is not None


class Finding(FakeDriver):
    """Tells that a release's model was there already."""

    key = ""

    def differences(self, stack: Stack, settings: Settings, *, seen: bool = True) -> tuple[Change, ...]:
        words = f"shop-local-{self.key}, made by this project"
        urn = "urn:pulumi:s::p::aws:sagemaker/model:Model::release"
        return (Change(urn, "create", found=words),) if stack.program == "service" else ()


def test_what_is_taken_over_is_told_with_its_release(three: Any, spec_of: Any) -> None:
    deps = three.process("one")
    deps = replace(deps, driver=Finding(stacks=three.state))
    deps.driver.key = deps.ledger.find(2).key
    said = f"found Model shop-local-{deps.driver.key}, made by this project's release 2"
    assert said in plan(deps, spec_of()).notes
    assert said in describe_found(deps.driver.preview(Stack("service", "shop-local"), {}), deps.ledger)


def test_whose_it_is_is_known_before_the_first_release(world: Any, spec_of: Any) -> None:
    class Refusing(FakeImageRegistry):
        def push(self, repository: str, digest: str, progress: Progress) -> int:
            raise CloudRefused("denied: the registry takes nothing")

    with pytest.raises(CloudRefused, match="denied"):
        ship.up(replace(world.process("one"), images=Refusing(lambda: world.repositories)), spec_of())
    lose_folder(world)
    world.standing.add("/here")
    with pytest.raises(BadInput, match="shop-local belongs to the project in /here"):
        ship.up(world.process("two"), spec_of())


def test_what_an_earlier_version_deployed_gets_an_owner_without_a_fuss(three: Any, spec_of: Any) -> None:
    del three.store.records["owner.json"], three.objects["owner.json"]
    three.mutations.clear()
    assert ship.up(three.process("one"), spec_of()).done == "nothing to do"
    assert three.mutations == ["put owner.json"]


def test_an_endpoint_that_nobody_knows_is_not_taken_unasked(three: Any, spec_of: Any) -> None:
    lose_folder(three)
    three.objects.clear()
    with pytest.raises(BadInput, match="neither this folder nor any record says who made it"):
        ship.up(three.process("one"), spec_of())
    with pytest.raises(BadInput, match="nothing to recover from"):
        recover(three.process("one"), spec_of())


def test_another_history_under_the_same_numbers_is_not_mixed(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    ship.up(world.process("two"), spec_of())
    kept = dict(world.objects)
    lose_folder(world)
    world.objects.clear()
    world.revisions.clear()
    world.endpoint = None
    world.now = world.now.replace(year=2027)
    ship.up(world.process("one"), spec_of())
    world.objects.update(kept)
    with pytest.raises(BadInput, match="release 1 of this folder's history is not that"):
        recover(world.process("one"), spec_of(), adopt=True)


def test_a_record_that_does_not_read_is_named(three: Any, spec_of: Any) -> None:
    lose_folder(three)
    three.objects["releases/shop/2.json"] = b"{half"
    with pytest.raises(EcomdeployError, match=r"releases/shop/2.json in bucket shop-local-\d+ is no record"):
        recover(three.process("one"), spec_of())


def test_traffic_is_right_where_records_are_older(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    ship.up(world.process("two"), spec_of())
    world.endpoint["revision"] = next(
        name for name in world.revisions if world.revisions[name].endswith("one")
    )
    lose_folder(world)
    done = recover(world.process("one"), spec_of())
    assert done.live == 1
    assert ship.status(world.process("one"), spec_of()).verified


def test_down_leaves_nothing_that_no_state_knows(three: Any, spec_of: Any) -> None:
    three.state.clear()
    with pytest.raises(BadInput, match="the state of its stack is not here"):
        ship.down(three.process("one"), spec_of())
    recover(three.process("one"), spec_of())
    ship.down(three.process("one"), spec_of())
    assert (three.endpoint, three.revisions) == (None, {})


def test_a_renamed_service_is_named_until_it_is_taken_down(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    renamed = replace(spec_of(), service="store")

    def process() -> Any:
        deps = world.process("one")
        return replace(deps, ledger=Ledger(deps.store, world.clock, service="store"))

    notes = plan(process(), renamed).notes
    assert any("still there: endpoint shop-local" in note for note in notes), notes
    status = ship.status(process(), renamed)
    assert "ecomdeploy down --service shop" in status.notes[-1]
    ship.down(world.process("one"), spec_of())
    assert ship.status(process(), renamed).notes == ()


def test_taking_the_former_name_down_does_not_name_what_serves_now(world: Any, spec_of: Any) -> None:
    def process(service: str) -> Any:
        deps = world.process("one")
        return replace(deps, ledger=Ledger(deps.store, world.clock, service=service))

    ship.up(process("shop"), spec_of())
    ledger = process("store").ledger
    [serving] = ledger.all()
    ledger.token = ledger.newest_token
    ledger.rebuild([replace(serving, service="store", number=2)], "renamed")
    assert ship.status(process("shop"), spec_of()).notes == ()
    assert ship.down(process("shop"), spec_of()).notes == ()


def test_taking_a_name_down_that_came_between_does_not_name_what_serves_now(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    deps, store = world.process("one"), replace(spec_of(), service="store")
    between = replace(deps, ledger=Ledger(deps.store, world.clock, service="store"))
    world.endpoint = None  # of that name there is none
    assert len(ship.down(between, store).notes) == 1
    assert ship.down(between, store, former=True).notes == ()


def copied(world: Any) -> Any:
    """The same records and state in another folder, while the first is at its place."""
    world.standing.add("/here")
    deps = world.process("two")
    return replace(deps, me=replace(deps.me, folder="/copy"))


def test_a_copy_of_a_folder_that_is_at_its_place_changes_nothing(three: Any, spec_of: Any) -> None:
    before = list(three.mutations)
    for verb in (ship.up, ship.rollback, ship.down, partial(ship.down, everything=True), recover):
        with pytest.raises(BadInput, match="shop-local belongs to the project in /here") as refused:
            verb(copied(three), spec_of())
        assert "--adopt" in refused.value.hint
    assert "which this folder is a copy of" in str(plan(copied(three), spec_of()).notes)
    said = ship.status(copied(three), spec_of())
    assert said.verified
    assert any("copy of the project in /here" in note for note in said.notes)
    for on_platform in (platform.up, platform.down):
        with pytest.raises(BadInput, match="a copy of the project in /here"):
            on_platform(copied(three), spec_of())
    assert three.mutations == before


def test_a_copy_without_a_bucket_to_ask_is_none_the_less_one(three: Any, spec_of: Any) -> None:
    three.objects.clear()
    with pytest.raises(BadInput, match="which this folder is a copy of"):
        ship.down(copied(three), spec_of(), everything=True)


def test_a_folder_that_was_moved_goes_on_unasked(three: Any, spec_of: Any) -> None:
    first = read_owner(three.store)
    assert first
    deps = three.process("two")
    ship.up(replace(deps, me=replace(deps.me, folder="/moved")), spec_of(), again=True)
    assert read_owner(three.store) == replace(first, folder="/moved")
    assert json.loads(three.objects["owner.json"])["folder"] == "/moved"


def test_a_copy_that_adopts_is_another_owner_and_the_original_is_told(three: Any, spec_of: Any) -> None:
    kept, first = dict(three.store.records), read_owner(three.store)
    ship.up(copied(three), spec_of(), again=True, adopt=True)
    second = read_owner(three.store)
    assert (second.folder, second.former) == ("/copy", (first.id,))
    assert second.id != first.id
    ship.up(copied(three), spec_of(), again=True)  # and needs no second word
    three.store.records.clear()
    three.store.records |= kept
    three.standing.add("/copy")
    with pytest.raises(BadInput, match="belongs to the project in /copy"):
        ship.up(three.process("one"), spec_of())


def test_a_copy_under_another_name_is_a_project_of_its_own(three: Any, spec_of: Any) -> None:
    """It comes after nobody: what the original made may not be taken over."""
    first, deps = read_owner(three.store), copied(three)
    three.endpoint, three.revisions = None, {}  # the small world has one name for all
    renamed = replace(spec_of(), service="store")
    ship.up(replace(deps, ledger=Ledger(deps.store, three.clock, service="store")), renamed)
    second = read_owner(three.store)
    assert second.id != first.id
    assert second.former == ()


def test_what_stands_and_no_state_knows_is_found(three: Any, spec_of: Any) -> None:
    """Whatever of folder, records and endpoint is lost, `status` does not say that nothing is there."""
    three.state.clear()
    del three.store.records["stacks/service-shop-local.json"]
    lost = ship.status(three.process("one"), spec_of())
    assert "the state of its stack is not here" in lost.problems[0]
    assert lost.hint.startswith("ecomdeploy recover")
    lose_folder(three)
    three.objects.clear()
    three.endpoint = None
    deps = three.process("one")
    deps.driver.stray["base/shop-local"] = ("arn:aws:s3:::shop-local (bucket)",)
    found = ship.status(deps, spec_of())
    assert "arn:aws:s3:::shop-local (bucket)" in found.problems[0]
    assert found.hint == "ecomdeploy up --adopt takes it into a state again"
    assert ship.status(three.process("one"), spec_of()).problems == ("nothing is deployed here",)
