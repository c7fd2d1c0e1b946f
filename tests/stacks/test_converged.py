"""When a stack's program is run, and when it is safely not."""

from __future__ import annotations

from typing import Any

import pytest

from modelpack.errors import BadInput, EcomdeployError
from modelpack.progress import Silent
from stacks.pulumi_driver.converged import ConvergedStates, foresee, provision, take_down
from stacks.pulumi_driver.driver import CLAIM, FakeDriver, Stack, claim, disclaim
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

    def foresee(self, size: int = 1) -> tuple[list[str], bool]:
        """The calls that one look ahead made, and whether it shows something."""
        self.driver.calls.clear()
        found = foresee(self.driver, self.converged, SERVICE, {"size": size})
        return list(self.driver.calls), bool(found)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_the_first_run_reads_back_and_the_second_is_not_needed(stage: Stage) -> None:
    assert stage.up() == ["up service/shop-local --refresh"]
    assert stage.up() == []
    assert stage.converged.outputs(SERVICE) == {"echo": {"size": 1}}


def test_other_settings_are_run_and_read_back_once_in_a_run(stage: Stage) -> None:
    stage.up()
    assert stage.up(size=2) == ["up service/shop-local --refresh"]
    assert stage.up(size=2) == []
    assert stage.up(size=3, look=False) == ["up service/shop-local"], "this run has seen the stack"


def test_what_other_hands_have_changed_is_mended(stage: Stage) -> None:
    stage.up()
    stage.driver.drifted.add("service/shop-local")
    assert stage.up(look=False) == []
    assert stage.up() == ["up service/shop-local --refresh"]
    assert stage.up() == []


def test_a_preview_is_only_spared_where_it_is_proven_to_show_nothing(stage: Stage) -> None:
    preview = ["preview service/shop-local"]
    assert stage.foresee() == (preview, True), "it never converged"
    stage.up()
    assert stage.foresee() == ([], False)
    assert stage.foresee(size=2) == (preview, True), "other settings"
    stage.driver.drifted.add("service/shop-local")
    assert stage.foresee() == (preview, True), "other hands"
    stage.driver.drifted.clear()
    stage.driver.looks = False
    assert stage.foresee() == (preview, False), "a look would be a preview as well"
    stage.driver.looks, stage.cloud = True, "cloud-2"
    assert stage.foresee()[0] == preview, "the cloud is another one"


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
    assert stage.up() == ["up service/shop-local --refresh"]
    stage.driver.name = "fake driver 2"
    assert stage.up() == ["up service/shop-local --refresh"]


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


def test_neither_the_kind_of_driver_nor_the_region_can_change(stage: Stage) -> None:
    claim(stage.store, stage.driver, "us-east-1")
    claim(stage.store, FakeDriver(name="another version"), "us-east-1")
    with pytest.raises(
        BadInput, match="deployed with the embedded engine, and now it would be the Pulumi CLI"
    ):
        claim(stage.store, FakeDriver(kind="pulumi"), "us-east-1")
    with pytest.raises(BadInput, match="deployed in us-east-1, and the spec says eu-west-1") as refused:
        claim(stage.store, stage.driver, "eu-west-1")
    assert refused.value.hint.startswith("put `region: us-east-1` back")
    disclaim(stage.store)
    claim(stage.store, FakeDriver(kind="pulumi"), "eu-west-1")


def test_what_an_earlier_version_claimed_tells_no_region(stage: Stage) -> None:
    stage.store.records[CLAIM] = b'{"kind": "embedded", "name": "embedded engine"}'
    claim(stage.store, stage.driver, "eu-west-1")
    with pytest.raises(BadInput, match="deployed in us-east-1, and the spec says eu-west-1"):
        claim(stage.store, stage.driver, "eu-west-1", made_in="us-east-1")


@pytest.mark.parametrize("damage", [b"", b"{half", b"[]"])
def test_a_damaged_claim_is_named(stage: Stage, damage: bytes) -> None:
    stage.store.records[CLAIM] = damage
    with pytest.raises(BadInput, match=f"{CLAIM} is damaged"):
        claim(stage.store, stage.driver, "us-east-1")
