"""When a stack's program is run, and when it is safely not."""

from __future__ import annotations

from typing import Any

import pytest

from modelpack.errors import BadInput, EcomdeployError
from modelpack.progress import Silent
from stacks.pulumi_driver.converged import ConvergedStates, provision, take_down
from stacks.pulumi_driver.driver import FakeDriver, Stack, claim
from stacks.records.store import InMemoryStore

SERVICE = Stack("service", "shop-local")


class Stage:
    def __init__(self) -> None:
        self.store, self.driver, self.cloud = InMemoryStore(), FakeDriver(), "cloud-1"
        self.converged = ConvergedStates(self.store, lambda: self.cloud)

    def up(self, size: int = 1, **more: Any) -> list[str]:
        """The calls that one provision made."""
        self.driver.calls.clear()
        provision(self.driver, self.converged, SERVICE, {"size": size}, Silent(), **more)
        return list(self.driver.calls)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_the_first_run_reads_back_and_the_second_is_not_needed(stage: Stage) -> None:
    assert stage.up() == ["up service/shop-local --refresh"]
    assert stage.up() == []
    assert stage.converged.outputs(SERVICE) == {"echo": {"size": 1}}


def test_other_settings_run_without_reading_back(stage: Stage) -> None:
    stage.up()
    assert stage.up(size=2) == ["up service/shop-local"]
    assert stage.up(size=2) == []


def test_refresh_asks_for_a_run(stage: Stage) -> None:
    stage.up()
    assert stage.up(refresh=True) == ["up service/shop-local --refresh"]


def test_another_cloud_is_read_back(stage: Stage) -> None:
    stage.up()
    stage.cloud = "cloud-2"
    assert stage.converged.outputs(SERVICE) is None
    assert stage.up() == ["up service/shop-local --refresh"]


def test_another_program_or_driver_runs_again(stage: Stage) -> None:
    stage.up()
    stage.driver.source = lambda stack: "mended"  # type: ignore[method-assign]
    assert stage.up() == ["up service/shop-local"]
    stage.driver.name = "fake driver 2"
    assert stage.up() == ["up service/shop-local"]


def test_a_run_that_did_not_end_well_is_not_remembered(stage: Stage) -> None:
    stage.up()
    stage.driver.refuse["service/shop-local"] = EcomdeployError("no")
    with pytest.raises(EcomdeployError):
        stage.up(size=2)
    stage.driver.refuse.clear()
    assert stage.converged.outputs(SERVICE) is None
    assert stage.up() == ["up service/shop-local --refresh"], "not even when the old settings come back"


def test_what_was_taken_down_is_forgotten(stage: Stage) -> None:
    stage.up()
    take_down(stage.driver, stage.converged, SERVICE, Silent())
    assert take_down(stage.driver, stage.converged, SERVICE, Silent()).changes == ()
    assert stage.up() == ["up service/shop-local --refresh"]


@pytest.mark.parametrize("damage", [b"{half", b"null", b'{"digest": "x"}', b"[]"])
def test_a_damaged_state_is_none(stage: Stage, damage: bytes) -> None:
    stage.up()
    stage.store.records["stacks/service-shop-local.json"] = damage
    assert stage.up() == ["up service/shop-local --refresh"]


def test_the_kind_of_driver_cannot_change(stage: Stage) -> None:
    claim(stage.store, stage.driver)
    claim(stage.store, FakeDriver(name="another version"))
    with pytest.raises(
        BadInput, match="deployed with the embedded engine, and now it would be the Pulumi CLI"
    ):
        claim(stage.store, FakeDriver(kind="pulumi"))
