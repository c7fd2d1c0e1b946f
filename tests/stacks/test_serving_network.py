"""`serve.network: platform`: the platform's ids go into the release, and it stays while somebody stands in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from iam_policies import Request, is_allowed

from cli.ci.policy import write_policy
from infra.ground.layout import lay_out
from infra.ground.residents import Resident
from infra.ground.survey import FakeSurvey, Offer, Standing
from infra.hosting import PLATFORM, ServingNetwork
from infra.spec import ExistingVpc, PlatformSpec
from modelpack.errors import BadInput, CloudRefused
from modelpack.progress import Silent
from stacks import platform, ship
from stacks.plan import plan
from stacks.pulumi_driver.driver import FakeDriver, Settings, Stack
from stacks.records.users import read_users
from stacks.spec import Environment

PLACED = {"subnets": ["subnet-0a", "subnet-0b"], "security_groups": ["sg-0a"]}
NETWORK = ServingNetwork(subnets=("subnet-0a", "subnet-0b"), security_groups=("sg-0a",))
SERVING = (Resident(service="shop-local", models=("one",), serves=True),)
DARK = (Resident(service="search-local", models=("one", "two"), serves=False),)


class PlatformDriver(FakeDriver):
    """Gives what the platform's program gives."""

    def declare(self, stack: Stack, settings: Settings) -> dict[str, Any]:
        serving = settings["platform"].get("serving")
        return {"vpc_id": "vpc-0a", **({"serving_network": PLACED} if serving else {})}


@pytest.fixture
def driver() -> PlatformDriver:
    return PlatformDriver()


@pytest.fixture
def bring_up(world: Any, spec_of: Any, driver: PlatformDriver) -> Callable[..., Any]:
    """Another service of the environment brings the platform up, from a folder of its own."""

    def up(survey: FakeSurvey | None = None, service: str = "search", **wanted: Any) -> Any:
        deps = replace(world.process("two"), driver=driver, survey=survey or FakeSurvey())
        spec = replace(spec_of(), service=service, platform=PlatformSpec(**wanted))
        return deps, spec, platform.up(deps, spec)

    return up


@pytest.fixture
def shop(world: Any, spec_of: Any) -> Callable[..., Any]:
    """The service that is to stand there, with the pack of a word."""

    def process(word: str = "one", network: Any = PLATFORM, **survey: Any) -> tuple[Any, Any]:
        spec = spec_of()
        placed = replace(spec, serve=replace(spec.serve, network=network))
        return replace(world.process(word), survey=FakeSurvey(**survey)), placed

    return process


def refusal(call: Callable[..., Any], *arguments: Any, **more: Any) -> tuple[str, str]:
    """Key and words of what is refused, with what to type."""
    with pytest.raises(BadInput) as refused:
        call(*arguments, **more)
    (problem,) = refused.value.problems
    return problem.path, f"{problem.what} ({problem.hint or refused.value.hint})"


@pytest.mark.parametrize("verb", [plan, ship.up])
def test_without_a_platform_nothing_begins(world: Any, shop: Any, verb: Any) -> None:
    key, words = refusal(verb, *shop())
    assert key == "serve.network"
    assert words == ("there is no platform of local (platform: {serving: true}, then ecomdeploy platform up)")
    assert world.mutations == []


def test_a_platform_without_room_says_what_to_type(bring_up: Any, shop: Any) -> None:
    bring_up()
    _, words = refusal(plan, *shop())
    assert words.startswith(
        "the platform of local has no network for model servers (platform: {serving: true}"
    )
    deps, spec = shop()
    asked = replace(spec, platform=PlatformSpec(serving=True))
    assert refusal(plan, deps, asked)[1].endswith("for model servers (ecomdeploy platform up)")
    vpc = ExistingVpc(id="vpc-0a", subnets=("subnet-0a", "subnet-0b"))
    theirs = replace(spec, platform=PlatformSpec(vpc=vpc))
    assert "name its subnets and security_groups" in refusal(plan, deps, theirs)[1]


def test_the_release_has_the_ids_whoever_brought_the_platform_up(
    world: Any, bring_up: Any, shop: Any
) -> None:
    bring_up(serving=True)
    deps, spec = shop()
    assert (
        "model servers stand in the platform's network: subnet-0a, subnet-0b; group sg-0a"
        in plan(deps, spec).notes
    )
    ship.up(deps, spec)
    live = deps.ledger.live()
    assert live.serving.hosting.placed == NETWORK
    assert json.loads(json.dumps(live.document()))["serving"]["hosting"]["network"] == PLACED
    (told,) = world.state["service/shop-local"][0]["releases"]
    assert json.loads(json.dumps(told["hosting"])) == {"network": PLACED}
    assert read_users(world.shared) == ("search-local", "shop-local")
    deps, spec = shop()
    assert ship.up(deps, spec).done == "nothing to do"
    assert plan(deps, spec).changes == ()
    assert plan(deps, spec).notes == ("release 1 is live and stays; no new release",)


def test_out_is_a_release_and_back_is_a_rollback(bring_up: Any, shop: Any) -> None:
    bring_up(serving=True)
    ship.up(*shop())
    assert "model servers leave the network that they are in" in plan(*shop(network=None)).notes
    ship.up(*shop(network=None))
    deps, spec = shop(network=None)
    done = ship.rollback(deps, spec)
    assert done.release is not None
    assert done.release.serving.hosting.placed == NETWORK
    moved = ship.up(*shop(network=None), again=True)
    assert moved.release is not None
    assert moved.release.serving.hosting.placed is None
    assert any(note.startswith("model servers move into") for note in plan(*shop()).notes)


def test_what_is_gone_of_the_network_is_said_before_anything_changes(
    world: Any, bring_up: Any, shop: Any
) -> None:
    bring_up(serving=True)
    ship.up(*shop())
    gone = {"missing": ("sg-0a",)}
    for verb in (plan, ship.up):
        assert refusal(verb, *shop(**gone)) == (
            "serve.network",
            "there is no sg-0a (ecomdeploy platform up mends it)",
        )
    assert refusal(plan, *shop(network=NETWORK, **gone))[1] == "there is no sg-0a (name others)"
    ship.up(*shop(network=None))
    before = list(world.mutations)
    _, words = refusal(ship.rollback, *shop(network=None, **gone))
    assert words.startswith("release 1 cannot be put back where it was: there is no sg-0a")
    assert world.mutations == before


def test_who_may_not_look_is_told_and_goes_on(bring_up: Any, shop: Any) -> None:
    class Refusing(FakeSurvey):
        def lacks(self, network: ServingNetwork) -> tuple[str, ...]:
            raise CloudRefused("AccessDenied")

    class Listening(Silent):
        def __init__(self) -> None:
            self.notes: list[str] = []

        def note(self, text: str) -> None:
            self.notes.append(text)

    bring_up(serving=True)
    deps, spec = shop()
    told = Listening()
    assert plan(replace(deps, survey=Refusing(), progress=told), spec).release == 1
    assert told.notes == [
        "serve.network was not looked at, which needs ec2:DescribeSubnets and ec2:DescribeSecurityGroups: AccessDenied"
    ]


@pytest.mark.parametrize(
    ("living", "shared", "said"),
    [
        (SERVING, False, "shop-local (serves from there)"),
        (SERVING, True, "shop-local (serves from there)"),
        (DARK, False, "search-local (2 of its earlier releases)"),
        (DARK, True, ""),
        ((), False, ""),
    ],
)
def test_the_platform_stays_while_model_servers_stand_in_it(
    driver: PlatformDriver, bring_up: Any, living: Any, shared: bool, said: str
) -> None:
    """Nothing overrides what serves; Models that nothing is on go with `--shared`, and a platform without room asks
    nobody."""
    deps, spec, _ = bring_up(FakeSurvey(living=living), serving=True)
    if said:
        assert said in refusal(platform.down, deps, spec, shared=shared)[1]
        assert "platform/local" in driver.stacks
    else:
        platform.down(deps, spec, shared=shared)
        assert "platform/local" not in driver.stacks
        assert refusal(plan, deps, replace(spec, serve=replace(spec.serve, network=PLATFORM)))[1].startswith(
            "there is no platform of local"
        )


@pytest.mark.parametrize(
    ("wanted", "word"),
    [({}, "(platform.serving)"), ({"serving": True, "zones": ("us-east-1a", "us-east-1c")}, "us-east-1b")],
)
def test_the_network_does_not_shrink_under_anybody(
    bring_up: Any, driver: PlatformDriver, wanted: dict[str, Any], word: str
) -> None:
    first = lay_out(PlatformSpec(), "us-east-1", Offer(), Standing())
    blocks = {zone: f"10.42.{slot}.0/24" for zone, slot in first.slots.items()}
    standing = Standing(blocks=blocks, cidr="10.42.0.0/16")
    deps, spec, _ = bring_up(FakeSurvey(stands=standing, living=SERVING), serving=True)
    before = list(driver.calls)
    smaller = replace(spec, platform=PlatformSpec(**wanted))
    for verb in (platform.plan, platform.up):
        _, words = refusal(verb, deps, smaller)
        assert word in words
        assert "shop-local (serves from there)" in words
    assert driver.calls == before


STATE = "s3://ml-state"


def test_only_who_ships_into_a_network_may_look_at_one(spec_of: Any) -> None:
    """And writes down that the platform is used."""
    aws = Environment(name="prod", cloud="aws", region="eu-west-1", account="123456789012", state=STATE)
    plain = replace(spec_of(), environment=aws)
    placed = replace(plain, serve=replace(plain.serve, network=PLATFORM))
    looks = {Request("ec2:DescribeSubnets"), Request("ec2:DescribeSecurityGroups")}
    notes = {
        Request(f"s3:{one}Object", f"arn:aws:s3:::ml-state/platforms/prod/{name}.json")
        for one in ("Put", "Get")
        for name in ("users", "lease")
    }
    told = Request("s3:GetObject", "arn:aws:s3:::ml-state/platforms/prod/stacks/platform-prod.json")
    for task, allowed in (("plan", {*looks, told}), ("deploy", {*looks, *notes, told})):
        document = write_policy(placed, task)
        assert {one for one in allowed if not is_allowed(one, document)} == set()
        beyond = {Request("ec2:CreateNetworkInterface"), Request("ec2:DescribeInstances")}
        assert not any(is_allowed(one, document) for one in beyond)
        assert not any(is_allowed(one, write_policy(plain, task)) for one in looks)
    outputs = Request("s3:PutObject", told.resource)
    assert not is_allowed(outputs, write_policy(placed, "remove"))
