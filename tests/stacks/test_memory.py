"""When a stack's program is run, and when it is safely not."""

from __future__ import annotations

from typing import Any

import pytest

from modelpack.errors import BadInput, EcomdeployError
from modelpack.progress import Silent
from stacks.pulumi_driver.converged import Memory, provision, take_down
from stacks.pulumi_driver.driver import FakeDriver, Stack, claim
from stacks.records.store import MemoryShelf

SERVICE = Stack("service", "shop-local")


class Town:
    def __init__(self) -> None:
        self.shelf, self.driver, self.cloud = MemoryShelf(), FakeDriver(), "cloud-1"
        self.memory = Memory(self.shelf, lambda: self.cloud)

    def up(self, size: int = 1, **more: Any) -> list[str]:
        """The calls that one provision made."""
        self.driver.calls.clear()
        provision(self.driver, self.memory, SERVICE, {"size": size}, Silent(), **more)
        return list(self.driver.calls)


@pytest.fixture
def town() -> Town:
    return Town()


def test_the_first_run_reads_back_and_the_second_is_not_needed(town: Town) -> None:
    assert town.up() == ["up service/shop-local --refresh"]
    assert town.up() == []
    assert town.memory.outputs(SERVICE) == {"echo": {"size": 1}}


def test_other_settings_run_without_reading_back(town: Town) -> None:
    town.up()
    assert town.up(size=2) == ["up service/shop-local"]
    assert town.up(size=2) == []


def test_refresh_asks_for_a_run(town: Town) -> None:
    town.up()
    assert town.up(refresh=True) == ["up service/shop-local --refresh"]


def test_another_cloud_is_read_back(town: Town) -> None:
    town.up()
    town.cloud = "cloud-2"
    assert town.memory.outputs(SERVICE) is None
    assert town.up() == ["up service/shop-local --refresh"]


def test_another_program_or_driver_runs_again(town: Town) -> None:
    town.up()
    town.driver.source = lambda stack: "mended"  # type: ignore[method-assign]
    assert town.up() == ["up service/shop-local"]
    town.driver.name = "fake driver 2"
    assert town.up() == ["up service/shop-local"]


def test_a_run_that_did_not_end_well_is_not_remembered(town: Town) -> None:
    town.up()
    town.driver.refuse["service/shop-local"] = EcomdeployError("no")
    with pytest.raises(EcomdeployError):
        town.up(size=2)
    town.driver.refuse.clear()
    assert town.memory.outputs(SERVICE) is None
    assert town.up() == ["up service/shop-local --refresh"], "not even when the old settings come back"


def test_what_was_taken_down_is_forgotten(town: Town) -> None:
    town.up()
    take_down(town.driver, town.memory, SERVICE, Silent())
    assert take_down(town.driver, town.memory, SERVICE, Silent()).changes == ()
    assert town.up() == ["up service/shop-local --refresh"]


@pytest.mark.parametrize("damage", [b"{half", b"null", b'{"digest": "x"}', b"[]"])
def test_a_damaged_memory_is_no_memory(town: Town, damage: bytes) -> None:
    town.up()
    town.shelf.records["stacks/service-shop-local.json"] = damage
    assert town.up() == ["up service/shop-local --refresh"]


def test_the_kind_of_driver_cannot_change(town: Town) -> None:
    claim(town.shelf, town.driver)
    claim(town.shelf, FakeDriver(name="another version"))
    with pytest.raises(
        BadInput, match="deployed with the embedded engine, and now it would be the Pulumi CLI"
    ):
        claim(town.shelf, FakeDriver(kind="pulumi"))
