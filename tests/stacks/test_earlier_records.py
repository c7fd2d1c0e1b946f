"""What an earlier version wrote is read in the words of today.

`earlier_records` are the records of one environment as that version left them, byte by byte: a CPU release, a GPU
release with its host image, one that failed, and two roll backs; release 5 (the bytes of 2) is live.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.targets.base import Phase
from stacks import ship
from stacks.pulumi_driver.driver import Stack
from stacks.records.release import State
from stacks.records.upgrade import upgrade_outputs, upgrade_release

RECORDS = Path(__file__).parent / "earlier_records"
KEYS = {"one": "7a6f500f8432", "two": "af1d7a72a7fe", "bad": "9f272178cf99"}
"""As that version computed them: they name what is deployed."""
AMI = "al2023-ami-sagemaker-inference-gpu-4-1"
REPOSITORY = "registry.example/shop-local"


@pytest.fixture
def earlier(world: Any) -> Any:
    """A world in which that version was at work."""
    for file in RECORDS.rglob("*.json"):
        world.store.records[str(file.relative_to(RECORDS))] = file.read_bytes()
    world.revisions = {f"shop-local-{KEYS[word]}": f"{REPOSITORY}@sha256:{word}" for word in ("one", "two")}
    world.endpoint = {"revision": f"shop-local-{KEYS['two']}", "phase": Phase.SERVING}
    world.repositories, world.buckets = {REPOSITORY}, {"shop-local-123456789012"}
    world.pushed = {REPOSITORY: {"sha256:one", "sha256:two"}}
    return world


@pytest.fixture
def two(earlier: Any) -> Callable[[], Any]:
    """A process with the pack of release 2."""
    needs = earlier.process("any").ledger.find(2).pack.needs

    def process() -> Any:
        deps = earlier.process("two")
        deps.builder.pack = replace(deps.builder.pack, needs=needs)
        return deps

    return process


def test_releases_are_what_they_were(earlier: Any) -> None:
    releases = earlier.process("any").ledger.releases()
    told = [(each.number, str(each.state), each.restores, each.key) for each in releases]
    assert told == [
        (1, "superseded", None, KEYS["one"]),
        (2, "rolled-back", None, KEYS["two"]),
        (3, "failed", None, KEYS["bad"]),
        (4, "rolled-back", 1, KEYS["one"]),
        (5, "live", 2, KEYS["two"]),
    ]
    assert [each.serving.host_image for each in releases] == ["", AMI, "", "", AMI]
    assert releases[1].pack.content_digest == "sha256:content-two"


def test_status_up_and_rollback_go_on_from_there(earlier: Any, two: Callable[[], Any], spec_of: Any) -> None:
    spec, before = spec_of("ml.g6.xlarge"), dict(earlier.revisions)
    assert ship.status(two(), spec).verified
    assert ship.up(two(), spec).release.number == 5
    assert earlier.revisions == before, "nothing deployed is made anew or renamed"
    back = ship.rollback(two(), spec, 1)
    assert (back.release.key, back.verified, earlier.revisions) == (KEYS["one"], True, before)
    assert ship.down(two(), spec).release.state is State.REMOVED


def test_a_rollback_finds_what_the_earlier_version_provisioned(
    earlier: Any, two: Callable[[], Any], spec_of: Any
) -> None:
    deps = two()
    assert deps.converged.outputs(Stack("service", "shop-local"))["revisions"].keys() == {
        KEYS["one"],
        KEYS["two"],
    }
    assert ship.rollback(deps, spec_of("ml.g6.xlarge"), 1).verified
    assert deps.driver.calls == []


def test_what_is_written_is_in_the_words_of_today(earlier: Any, two: Callable[[], Any], spec_of: Any) -> None:
    ship.rollback(two(), spec_of("ml.g6.xlarge"), 1)
    written = {name: data for name, data in earlier.store.records.items() if not (RECORDS / name).is_file()}
    words = (b'"contract"', b'"content_id"', b'"ami"', b'"configurations"')
    for data in (*written.values(), *earlier.objects.values()):
        assert not [word for word in words if word in data]
    assert any(b'"host_image"' in data for data in earlier.objects.values())


def test_documents_of_today_come_back_as_they_are(earlier: Any) -> None:
    for release in earlier.process("any").ledger.releases():
        assert upgrade_release(release.document()) == release.document()
    outputs = {"endpoint": "shop", "revisions": {"a": "b"}, "alarms": []}
    assert upgrade_outputs(outputs) == outputs
