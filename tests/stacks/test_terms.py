"""On what terms a release goes out: a plan that binds, freezes, promotion by digest."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from infra.spec import Period, ScaleSpec, ServeSpec, Window
from modelpack.errors import BadInput
from modelpack.progress import Silent
from stacks import ship
from stacks.plan import plan
from stacks.pulumi_driver.driver import Change
from stacks.records.release import Release, State
from stacks.spec import Environment, RolloutSpec, Spec
from stacks.terms.bound_plan import bind, compare_specs, differences, read_plan, write_plan
from stacks.terms.freeze import find_freeze
from stacks.terms.promotion import FakeImageSource, Promotion


def known(deps: Any) -> Any:
    deps.builder.is_known = True
    deps.images.local.add(deps.builder.pack.digest)
    return deps


def planned(world: Any, word: str, spec: Spec, folder: Path) -> Any:
    """A plan as the next process reads it."""
    write_plan(folder / "plan.json", plan(known(world.process(word)), spec))
    return read_plan(folder / "plan.json")


def untouched(world: Any) -> Any:
    return (list(world.mutations), sorted(world.objects), dict(world.revisions), len(releases(world)))


def releases(world: Any) -> tuple[Release, ...]:
    found: tuple[Release, ...] = world.process("any").ledger.releases()
    return found


@pytest.mark.parametrize("before", [(), ("one",), ("zero", "one")], ids=len)
def test_what_was_planned_is_done(world: Any, spec_of: Any, tmp_path: Path, before: tuple[str, ...]) -> None:
    for word in before:
        ship.up(world.process(word), spec_of())
    document = planned(world, "two", spec_of(), tmp_path)
    done = ship.up(world.process("two"), spec_of(), planned=document)
    assert (done.done, done.release.number, done.release.pack.digest) == (
        "live",
        document["release"],
        document["pack"],
    )
    with pytest.raises(BadInput, match=r"the live release was .*, and now it is"):
        ship.up(world.process("two"), spec_of(), planned=document)


def test_a_plan_of_nothing_does_nothing(world: Any, spec_of: Any, tmp_path: Path) -> None:
    ship.up(world.process("one"), spec_of())
    document = planned(world, "one", spec_of(), tmp_path)
    assert not plan(known(world.process("one")), spec_of()).has_work
    before = untouched(world)
    assert ship.up(world.process("one"), spec_of(), planned=document).done == "nothing to do"
    assert untouched(world) == before


def test_another_spec_pack_or_world_is_refused_and_nothing_changes(
    world: Any, spec_of: Any, tmp_path: Path
) -> None:
    ship.up(world.process("one"), spec_of())
    document = planned(world, "two", spec_of(), tmp_path)
    before = untouched(world)
    for word, spec, told in (
        ("two", spec_of(most=3), r"the spec: scale\.max was 1, and now it is 3"),
        ("other", spec_of(), "the pack: sha256:two was planned, and now it is sha256:other"),
    ):
        with pytest.raises(BadInput, match=told) as refused:
            ship.up(world.process(word), spec, planned=document)
        assert "plan again" in refused.value.hint
        assert untouched(world) == before
    ship.up(world.process("three"), spec_of())
    with pytest.raises(BadInput, match="the live release was 1, and now it is 2"):
        ship.up(world.process("two"), spec_of(), planned=document)


def test_what_drifted_meanwhile_is_named(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    found = plan(known(world.process("two")), spec_of())
    gone = Change("urn:pulumi:shop-local::base::aws:ecr/repository:Repository::shop-local", "create")
    assert list(differences(bind(found), bind(replace(found, changes=(*found.changes, gone))))) == [
        "create of aws:ecr/repository:Repository shop-local was not planned"
    ]
    assert list(differences(bind(replace(found, changes=(*found.changes, gone))), bind(found))) == [
        "create of aws:ecr/repository:Repository shop-local is not due any more"
    ]
    assert list(differences(bind(found), bind(replace(found, declared="else")))) == [
        "the programs, or what they are told, are not those of the plan"
    ]


def test_what_is_not_packed_cannot_bind(world: Any, spec_of: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not known until it is packed"):
        write_plan(tmp_path / "plan.json", plan(world.process("one"), spec_of()))
    assert not (tmp_path / "plan.json").exists()


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{}", b"\xff", b'{"format": "ecomdeploy plan 0"}'])
def test_what_is_no_plan_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "plan.json").write_bytes(content)
    with pytest.raises(BadInput, match=r"plan\.json: (cannot be read|is not a plan)"):
        read_plan(tmp_path / "plan.json")


PLAIN = some.recursive(
    some.none() | some.integers() | some.text(max_size=3),
    lambda inner: some.dictionaries(some.text("ab", min_size=1, max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(PLAIN, PLAIN)
def test_specs_differ_exactly_when_something_is_told(before: Any, after: Any) -> None:
    def without_empty(value: Any) -> Any:
        """No key and a key that says nothing are one and the same."""
        if not isinstance(value, dict):
            return value
        inner = {key: without_empty(one) for key, one in value.items()}
        return {key: one for key, one in inner.items() if one is not None}

    told = list(compare_specs(without_empty(before), without_empty(after)))
    assert bool(told) == (without_empty(before) != without_empty(after))


NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOURS = timedelta(hours=1)


def frozen(spec: Spec, **rollout: Any) -> Spec:
    window = Period(name="audit", start=NOON - 24 * HOURS, end=NOON + 24 * HOURS)
    return replace(spec, rollout=RolloutSpec(freeze=(window,), **rollout))


def test_a_freeze_refuses_a_rollout_before_anything_is_sent(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    before, pushed = untouched(world), dict(world.pushed)
    with pytest.raises(BadInput, match=r"frozen by audit until 2026-11-25T12:00:00\+00:00") as refused:
        ship.up(world.process("two"), frozen(spec_of()))
    assert "--override" in refused.value.hint
    assert (untouched(world), dict(world.pushed)) == (before, pushed)
    assert any("`up` will refuse" in note for note in plan(world.process("two"), frozen(spec_of())).notes)


def test_in_a_freeze_what_is_live_may_be_scaled_and_left(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    ship.up(world.process("two"), spec_of())
    assert ship.up(world.process("two"), frozen(spec_of(most=9))).release.number == 2
    assert ship.rollback(world.process("two"), frozen(spec_of())).release.restores == 1


def test_an_override_is_kept_in_the_ledger(world: Any, spec_of: Any) -> None:
    done = ship.up(world.process("one"), frozen(spec_of()), override="the price feed is wrong")
    assert done.release.why == "despite audit: the price feed is wrong"
    assert releases(world)[0].why == done.release.why
    assert ship.up(world.process("two"), spec_of(), override="no need").release.why == ""


def test_the_override_of_a_run_that_goes_on_is_kept_too(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    for fuse in range(1, 99):
        deps = world.process("two")
        assert world.kill_at(fuse, partial(ship.up, deps, spec_of()))
        if len(releases(world)) == 2:
            break
    assert releases(world)[-1].state is State.BEGUN
    done = ship.up(world.process("two"), frozen(spec_of()), override="half done is worse")
    assert done.release.number == 2
    assert any(one.cause == "despite audit: half done is worse" for one in releases(world)[-1].timeline)


@pytest.mark.parametrize(
    ("hours", "sale_days", "named"),
    [
        (-1, "refuse", None),
        (0, "refuse", "double-11"),
        (1, "refuse", "double-11"),
        (2, "refuse", None),
        (1, "allow", None),
    ],
)
def test_sale_days_are_frozen_unless_they_are_allowed(
    spec_of: Any, hours: int, sale_days: Any, named: str | None
) -> None:
    sale = Window(name="double-11", start=NOON, end=NOON + 2 * HOURS, min=1)
    spec = replace(spec_of(), scale=ScaleSpec(schedule=(sale,)), rollout=RolloutSpec(sale_days=sale_days))
    found = find_freeze(spec, NOON + hours * HOURS)
    assert (found.name if found else None) == named


def test_of_several_freezes_the_last_to_end_is_told(spec_of: Any) -> None:
    short, long = (Period(name=f"{end}", start=NOON, end=NOON + end * HOURS) for end in (1, 2))
    spec = replace(spec_of(), rollout=RolloutSpec(freeze=(long, short)))
    assert find_freeze(spec, NOON).name == "2"


@pytest.fixture
def production(new_world: Any) -> Any:
    return new_world()


def in_production(spec: Spec) -> Spec:
    return replace(spec, environment=Environment(name="prod", cloud="local"))


def promoted(world: Any, production: Any) -> tuple[Any, FakeImageSource]:
    """A process of production whose builder is what is live in the other world."""
    images, deps = FakeImageSource(), production.process("never built")
    place = Environment(name="local", cloud="local", account="111111111111")
    there = Promotion(place=place, ledger=world.process("any").ledger, images=images)
    return replace(deps, builder=there), images


def test_the_very_image_is_promoted_and_the_record_says_where_it_was_proven(
    world: Any, production: Any, spec_of: Any
) -> None:
    ship.up(world.process("one"), spec_of())
    source = ship.up(world.process("two"), spec_of()).release
    deps, images = promoted(world, production)
    done = ship.up(deps, in_production(spec_of(most=7)))
    assert images.fetched == [source.image]
    assert done.release.pack.digest == source.pack.digest == "sha256:two"
    assert done.release.serving == source.serving
    assert done.verified
    proof = json.loads(production.objects["releases/shop/1.json"])["pack"]["proven"]
    assert (proof["environment"], proof["account"], proof["release"]) == ("local", "111111111111", 2)
    assert proof["live_since"] == source.timeline[-1].at
    assert releases(production)[0].pack.proven.image == source.image


def test_a_plan_of_a_promotion_fetches_nothing_and_binds(
    world: Any, production: Any, spec_of: Any, tmp_path: Path
) -> None:
    ship.up(world.process("one"), spec_of())
    deps, images = promoted(world, production)
    spec = in_production(spec_of())
    write_plan(tmp_path / "plan.json", plan(deps, spec))
    assert images.fetched == []
    document = read_plan(tmp_path / "plan.json")
    assert (document["pack"], document["push_bytes"]) == ("sha256:one", None)
    ship.up(world.process("two"), spec_of())
    with pytest.raises(BadInput, match="the pack: sha256:one was planned, and now it is sha256:two"):
        ship.up(promoted(world, production)[0], spec, planned=document)
    assert production.mutations == []


def test_its_own_environment_proves_itself(world: Any, production: Any, spec_of: Any) -> None:
    """`plan prod --from prod` knows no model: what it tells is drift, and what the spec asks around the release."""
    ship.up(world.process("one"), spec_of())
    spec = in_production(spec_of())
    ship.up(promoted(world, production)[0], spec)
    deps, images = production.process("never built"), FakeImageSource()
    own = replace(deps, builder=Promotion(place=spec.environment, ledger=deps.ledger, images=images))
    assert not plan(own, spec).has_work
    assert plan(own, in_production(spec_of(most=2))).has_work
    assert ship.up(own, spec).done == "nothing to do"
    assert images.fetched == []
    assert releases(production)[-1].pack.proven.environment == "local"


def test_what_would_be_served_otherwise_is_not_promoted(world: Any, production: Any, spec_of: Any) -> None:
    with pytest.raises(BadInput, match="nothing is live in local"):
        ship.up(promoted(world, production)[0], in_production(spec_of()))
    ship.up(world.process("one"), spec_of())
    for serve, told in (
        (ServeSpec(instance="ml.c7i.2xlarge"), "serve.instance was ml.c7i.xlarge there"),
        (ServeSpec(environment={"THREADS": "2"}), "serve.environment was none there"),
    ):
        with pytest.raises(BadInput, match=told):
            ship.up(promoted(world, production)[0], in_production(replace(spec_of(), serve=serve)))
    with pytest.raises(BadInput, match="measures nothing anew"):
        ship.up(promoted(world, production)[0], in_production(spec_of()), regate=True)
    assert production.mutations == []


def test_secrets_of_each_environment_are_its_own(world: Any, production: Any, spec_of: Any) -> None:
    from infra.spec import SecretName, SecretPlace

    def secret(place: str) -> ServeSpec:
        return ServeSpec(environment={"TOKEN": SecretName(secret=SecretPlace(ssm=place))})

    ship.up(world.process("one"), replace(spec_of(), serve=secret("/staging/token")))
    spec = in_production(replace(spec_of(), serve=secret("/prod/token")))
    done = ship.up(promoted(world, production)[0], spec)
    assert "/prod/token" in str(done.release.serving.environment)
    with pytest.raises(BadInput, match=r"serve\.environment"):
        Promotion(place=spec.environment, ledger=world.process("any").ledger, images=FakeImageSource()).build(
            _wanted(in_production(spec_of())), Silent(), regate=False
        )


def _wanted(spec: Spec) -> Any:
    from infra.targets.sagemaker.target import SageMaker
    from stacks.wanted import Wanted

    return Wanted.of(spec, SageMaker().hosts())
