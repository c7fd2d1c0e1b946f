"""Whose a stack is, on the local cloud: a stack of before gets its owner's tag in place, a lost state finds its own
things again, and another owner's are refused. All three programs, on the embedded engine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import programs
import pytest
from pulumi import automation

from infra.rehearsal.cloud.client import LocalCloud
from modelpack.home import Home

pytestmark = pytest.mark.slow

NAME, MINE, THEIRS = "shop-local", "0123456789ab", "ba9876543210"
OWNER = "ecomdeploy:owner"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[programs.Place]:
    folder = tmp_path_factory.mktemp("owner")
    cloud = LocalCloud(Home(folder / "home", folder / "cache"), host=programs.SPEAKING)
    cloud.ensure()
    yield programs.Place(cloud, folder)
    cloud.stop()


@pytest.fixture(scope="module")
def settings(place: programs.Place) -> Mapping[str, Mapping[str, Any]]:
    """By program, as an earlier version told them; all three stacks are up."""
    base = {"service": "shop", "bucket": "shop-local-123456789012"}
    made = place.stack("base", NAME, base).up().outputs
    release = {
        "key": "a" * 12,
        "image": place.push(NAME, "one"),
        "instance": "ml.c7i.xlarge",
        "count": 1,
        "environment": {},
        "initial": True,
    }
    told: dict[str, dict[str, Any]] = {
        "base": base,
        "service": {
            "service": "shop",
            "base": {"role_arn": made["role_arn"].value},
            "target": "sagemaker",
            "scale": {"min": 1, "max": 4, "target_rps": 100.0},
            "alarms": {"error_rate": 0.01},
            "releases": [release],
        },
        "platform": {
            "name": "ecomdeploy-local",
            "platform": {"gpu_pools": [{"name": "g6", "instances": ["g6.xlarge"]}]},
        },
    }
    for program in ("service", "platform"):
        stack_of(place, program, told[program]).up()
    return told


def stack_of(place: programs.Place, program: str, settings: Mapping[str, Any]) -> automation.Stack:
    return place.stack(program, "local" if program == "platform" else NAME, settings)


def resources(place: programs.Place, program: str) -> dict[str, dict[str, Any]]:
    """What the state has of AWS's things, by URN."""
    (file,) = (place.folder / "state" / ".pulumi" / "stacks" / f"ecomdeploy-{program}").glob("*.json")
    listed = json.loads(file.read_text())["checkpoint"]["latest"]["resources"]
    return {one["urn"]: one for one in listed if one["type"].startswith("aws:")}


@pytest.mark.parametrize("program", ["base", "service", "platform"])
def test_a_stack_of_before_gets_its_owner_in_place_by_a_call_a_thing(
    place: programs.Place, settings: Mapping[str, Mapping[str, Any]], program: str
) -> None:
    before = resources(place, program)
    tagged = {urn for urn, one in before.items() if one["outputs"].get("tagsAll")}
    stack = stack_of(place, program, {**settings[program], "owner": MINE})
    planned = programs.changes(stack)
    assert planned == {urn.rpartition("::")[2]: "update" for urn in tagged}

    calls = place.mutating()
    stack.up()
    # moto has no tags of scalable targets: the provider keeps them in its state.
    asked = [urn for urn in tagged if "appautoscaling" not in urn]
    assert place.mutating() - calls == len(asked), "one call that tags each, and no other"
    after = resources(place, program)
    assert {urn: one["id"] for urn, one in after.items()} == {urn: one["id"] for urn, one in before.items()}
    assert {
        urn for urn, one in after.items() if one["outputs"].get("tagsAll", {}).get(OWNER) == MINE
    } == tagged
    versions = [
        {urn: one["outputs"].get("latestVersion") for urn, one in each.items()} for each in (before, after)
    ]
    assert versions[0] == versions[1], "no node is started anew"

    calls = place.mutating()
    stack.up()
    assert place.mutating() == calls
    stack.refresh()
    assert programs.changes(stack) == {}


def lose_state(place: programs.Place) -> None:
    for file in (place.folder / "state" / ".pulumi" / "stacks" / "ecomdeploy-base").glob("*"):
        file.unlink()


def test_a_lost_state_finds_its_own_things_and_another_owners_are_refused(
    place: programs.Place, settings: Mapping[str, Mapping[str, Any]]
) -> None:
    mine = {**settings["base"], "owner": MINE}
    kept = resources(place, "base")
    lose_state(place)
    calls = place.mutating()
    theirs = stack_of(place, "base", {**settings["base"], "owner": THEIRS})
    assert told(theirs.preview) == {f"made by owner {MINE}: that is refused"}
    with pytest.raises(automation.CommandError, match=f"exists already and belongs to owner {MINE}"):
        theirs.up()
    assert place.mutating() == calls, "nothing of the other's is touched, and nothing made beside it"

    lose_state(place)
    stack = stack_of(place, "base", mine)
    assert told(stack.preview) == {"made by this project"}
    assert told(stack.up) == {"made by this project"}
    assert {one["id"] for one in resources(place, "base").values()} == {one["id"] for one in kept.values()}


def told(operation: Any) -> set[str]:
    """Whose what was found is said to be, of what has tags."""
    events: list[Any] = []
    operation(on_event=events.append)
    said = [each.diagnostic_event for each in events if each.diagnostic_event is not None]
    found = [each for each in said if each.severity == "info" and each.message.startswith("found ")]
    assert len({each.urn for each in found}) == len(found) > 2
    return {each.message.partition(", ")[2] for each in found} - {""}
