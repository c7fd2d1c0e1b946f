"""Two services of one environment: one at a time writes the platform, and none takes it from under the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from modelpack.errors import BadInput, CloudRefused, Locked
from modelpack.progress import Progress, Silent
from stacks import platform, ship
from stacks.pulumi_driver.driver import Change, FakeDriver, Stack
from stacks.records.lease import Lease
from stacks.records.ledger import Ledger
from stacks.records.store import InMemoryStore
from stacks.records.users import read_users
from stacks.run import Run
from stacks.spec import Environment
from stacks.steps import leave_platform


@pytest.fixture
def driver() -> FakeDriver:
    """Of both: on the platform's stack they work on the same things."""
    return FakeDriver()


@pytest.fixture
def services(world: Any, spec_of: Any, driver: FakeDriver) -> Any:
    """A process of a service of this name, and its spec; each has a store of its own."""
    stores: dict[str, InMemoryStore] = {}

    def service(name: str) -> tuple[Any, Any]:
        deps, store = world.process("one"), stores.setdefault(name, InMemoryStore())
        mine = replace(
            deps,
            driver=driver,
            store=store,
            ledger=Ledger(store, world.clock, service=name),
            lease=Lease(store, "someone", deps.lease.me, world.clock),
        )
        return mine, replace(spec_of(), service=name)

    return service


def test_two_services_do_not_write_the_platform_at_once(services: Any, driver: FakeDriver) -> None:
    deps, spec = services("shop")
    other, other_spec = services("search")
    refused: list[Locked] = []

    class Meanwhile(Silent):
        def step(self, text: str) -> None:
            with pytest.raises(Locked) as error:
                platform.up(other, other_spec)
            refused.append(error.value)

    platform.up(replace(deps, progress=Meanwhile()), spec)
    assert "platform up" in str(refused[0])
    assert [call for call in driver.calls if call.startswith("up")] == ["up platform/local --refresh"]
    assert platform.up(other, other_spec).state == "up"


def test_down_all_leaves_a_platform_that_another_service_uses(
    world: Any, services: Any, driver: FakeDriver
) -> None:
    for name in ("shop", "search"):
        platform.up(*services(name))
    assert read_users(world.shared) == ("search-local", "shop-local")
    left = ship.down(*services("search"), everything=True)
    assert left.remaining == ("platform/local",)
    assert "platform/local" in driver.stacks
    assert ship.down(*services("shop"), everything=True).remaining == ()
    assert "platform/local" not in driver.stacks


def test_platform_down_names_who_else_uses_it(world: Any, services: Any, driver: FakeDriver) -> None:
    for name in ("shop", "search"):
        platform.up(*services(name))
    with pytest.raises(BadInput, match="is used by search-local too") as refused:
        platform.down(*services("shop"))
    assert "--shared" in refused.value.hint
    assert "platform/local" in driver.stacks
    platform.down(*services("shop"), shared=True)
    assert "platform/local" not in driver.stacks
    assert read_users(world.shared) == ()
    platform.down(*services("shop"))


def test_a_service_whose_endpoint_is_gone_uses_the_platform_no_more(
    world: Any, services: Any, driver: FakeDriver
) -> None:
    """What `platform down` says to type first, and nothing beside it, opens the way."""
    for name in ("shop", "search"):
        platform.up(*services(name))
    with pytest.raises(BadInput) as refused:
        platform.down(*services("shop"))
    assert "take those down first" in refused.value.hint
    assert ship.down(*services("search")).remaining == ("platform/local",)
    assert read_users(world.shared) == ("shop-local",)
    assert platform.down(*services("shop")).state == "removed"
    assert "platform/local" not in driver.stacks


def test_on_aws_who_is_taken_down_uses_the_platform_no_more(
    world: Any, services: Any, driver: FakeDriver
) -> None:
    def on_aws(name: str) -> tuple[Any, Any]:
        deps, spec = services(name)
        aws = Environment(name="local", cloud="aws", account="123456789012")
        return deps, replace(spec, environment=aws)

    for name in ("shop", "search"):
        platform.up(*on_aws(name))
    assert ship.down(*on_aws("search"), everything=True).remaining == ("platform/local",)
    assert read_users(world.shared) == ("shop-local",)
    assert "platform/local" in driver.stacks
    platform.down(*on_aws("shop"))
    assert read_users(world.shared) == ()
    assert driver.stacks == {}


@pytest.mark.parametrize("names", [("shop",), ("search", "shop")])
def test_who_could_not_take_the_platform_down_uses_it_still(
    names: tuple[str, ...], world: Any, services: Any
) -> None:
    class Refusing(FakeDriver):
        def destroy(self, stack: Stack, progress: Progress) -> tuple[Change, ...]:
            raise CloudRefused("DependencyViolation")

    for name in names:
        platform.up(*services(name))
    deps, spec = services("shop")
    deps = replace(deps, driver=Refusing())
    with pytest.raises(CloudRefused):
        platform.down(deps, spec, shared=True)
    if len(names) == 1:
        with pytest.raises(CloudRefused):
            leave_platform(Run.of(deps, spec))
    assert read_users(world.shared) == tuple(f"{name}-local" for name in names)
