"""A plan builds, pushes and changes nothing, and says what is not known."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from infra.preflight.base import Lack, Looked
from infra.spec import Window
from modelpack.errors import BadInput, Unhealthy
from modelpack.inputs.spec import ModelSpec
from stacks import platform, ship
from stacks.plan import plan
from stacks.run import Run


def known(deps: Any) -> Any:
    deps.builder.is_known = True
    deps.images.local.add(deps.builder.pack.digest)
    return deps


def untouched(world: Any) -> Any:
    return (list(world.mutations), dict(world.store.records), dict(world.objects), dict(world.revisions))


def test_before_the_first_up_nothing_is_known(world: Any, spec_of: Any) -> None:
    deps, before = world.process("one"), untouched(world)
    found = plan(deps, spec_of())
    assert untouched(world) == before
    assert deps.builder.built == 0
    document = found.document()
    assert document["push_bytes"] is None
    assert document["image"] is None
    assert (document["release"], document["live"]) == (1, None)
    assert [change["op"] for change in document["changes"]] == ["create", "create"]
    assert any("not known until packed" in note and "trains and builds" in note for note in found.notes)
    given = replace(spec_of(), model=ModelSpec(path="model.onnx"))
    (note,) = (note for note in plan(deps, given).notes if "not known until packed" in note)
    assert "builds first" in note
    assert "trains" not in note


def test_a_changed_spec_is_told_without_building(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    before = untouched(world)
    found = plan(world.process("two"), spec_of())
    assert untouched(world) == before
    assert (found.release, found.live, found.push_bytes) == (2, 1, None)
    assert [(change.op, change.urn.split("::")[1]) for change in found.changes] == [("update", "service")]


def test_a_known_pack_has_a_size(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    found = plan(known(world.process("two")), spec_of())
    assert found.push_bytes == 1000
    assert found.image == "registry.example/shop-local@sha256:two"


def test_nothing_changed_says_so(world: Any, spec_of: Any) -> None:
    ship.up(world.process("zero"), spec_of())
    ship.up(world.process("one"), spec_of())
    found = plan(known(world.process("one")), spec_of())
    assert found.changes == ()
    assert (found.release, found.push_bytes) == (None, 0)
    assert found.notes == ("release 2 is live and stays; no new release",)


def test_it_says_when_up_would_refuse(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    world.broken.add("sha256:bad")
    with pytest.raises(Unhealthy):
        ship.up(world.process("bad"), spec_of())
    found = plan(known(world.process("bad")), spec_of())
    assert any("`up` will refuse" in note for note in found.notes)
    assert found.hint == "ecomdeploy up --again"
    assert plan(known(world.process("one")), spec_of()).hint == "", "it serves"
    told = Lack(what="no controller", hint="watch it", stops=False)
    lacking = Looked(
        "keda", (told, Lack(what="KEDA is not installed", hint="ecomdeploy cloud kubernetes install --keda"))
    )
    found = plan(replace(world.process("one"), preflight=lambda wanted: (lacking,)), spec_of())
    assert found.hint == "ecomdeploy cloud kubernetes install --keda"


def test_whether_the_cluster_takes_rules_is_asked_once_and_told_by_plan_and_up_alike(
    world: Any, spec_of: Any
) -> None:
    asked = []

    def takes_rules() -> bool:
        asked.append(1)
        return True

    deps = replace(world.process("one"), takes_rules=takes_rules)
    ship.up(deps, spec_of())
    assert len(asked) == 1
    known(deps)
    assert plan(deps, spec_of()).changes == ()
    without = plan(known(world.process("one")), spec_of())
    assert [change.op for change in without.changes] == ["update"]


def test_sale_days_that_overlap_are_told_with_what_holds(world: Any, spec_of: Any) -> None:
    deps, spec = world.process("one"), spec_of()
    now = deps.ledger.clock()

    def sale(name: str, first: int, last: int, low: int) -> Window:
        return Window(name=name, start=now + timedelta(days=first), end=now + timedelta(days=last), min=low)

    windows = (sale("past", -9, -1, 5), sale("week", 1, 8, 2), sale("day", 7, 9, 4), sale("after", 9, 11, 3))
    found = plan(deps, replace(spec, scale=replace(spec.scale, schedule=windows)))
    [told] = [note for note in found.notes if "overlap" in note]
    assert told == (
        f"sale days week and day overlap: from {windows[2].start.isoformat()} to {windows[1].end.isoformat()} "
        "the higher min holds, 4"
    )


def test_the_preview_reads_no_lease(world: Any, spec_of: Any) -> None:
    busy = world.process("one")
    with Run.of(busy, spec_of()).hold_lease("up"):
        assert plan(world.process("one"), spec_of()).release == 1


def test_what_is_shown_of_an_outcome_is_plain_data(world: Any, spec_of: Any) -> None:
    import json

    outcome = ship.up(world.process("one"), spec_of())
    assert json.loads(json.dumps(outcome.document()))["changes"]
    assert json.loads(json.dumps(replace(outcome, release=None).document()))["state"] == "none"


def test_every_verb_says_that_it_was_deployed_in_another_region(world: Any, spec_of: Any) -> None:
    """Not only the program that runs in the end: the other verbs would look where nothing is, and call it gone."""
    ship.up(world.process("one"), spec_of())
    before, spec = untouched(world), spec_of()
    moved = replace(spec, environment=replace(spec.environment, region="eu-west-1"))
    for verb in (plan, ship.up, ship.status, ship.rollback, ship.down, platform.plan):
        with pytest.raises(BadInput, match="deployed in us-east-1, and the spec says eu-west-1"):
            verb(world.process("one"), moved)
    lease = {"lease.json": world.store.records["lease.json"]}
    assert untouched(world) == (before[0], {**before[1], **lease}, *before[2:])
    ship.down(world.process("one"), spec, everything=True)
    assert ship.up(world.process("one"), moved).verified


def test_where_an_earlier_version_deployed_is_told_by_what_stands(world: Any, spec_of: Any) -> None:
    """Its claim tells no region; the base's key has one in its name."""
    ship.up(world.process("one"), spec_of())
    records = world.store.records
    records["driver.json"] = b'{"kind": "embedded", "name": "fake driver"}'
    base = json.loads(records["stacks/base-shop-local.json"])
    base["outputs"]["key_arn"] = "arn:aws:kms:us-east-1:123456789012:key/1"
    records["stacks/base-shop-local.json"] = json.dumps(base).encode()
    spec = spec_of()
    moved = replace(spec, environment=replace(spec.environment, region="eu-west-1"))
    for verb in (plan, ship.up, ship.status):
        with pytest.raises(BadInput, match="deployed in us-east-1, and the spec says eu-west-1"):
            verb(world.process("one"), moved)
    assert ship.status(world.process("one"), spec).verified
