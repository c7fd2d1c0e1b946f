"""The page of what is emulated says what the code says; the parts that need no daemon."""

from __future__ import annotations

import importlib
import pathlib
import pkgutil
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.rehearsal.cloud.aws import overlay
from infra.rehearsal.cloud.aws.faults import Fault, Faults, spoil
from infra.rehearsal.cloud.aws.lifecycle import GONE, Record
from infra.rehearsal.cloud.aws.overlay.base import Overlay
from infra.rehearsal.cloud.aws.sagemaker_runtime.invocations import Invocations, WeightedServer
from infra.rehearsal.cloud.servers.host import ModelServer


def rows() -> Iterator[str]:
    """A Markdown table row for every emulated operation, read from the overlay."""
    for module in sorted(found.name for found in pkgutil.iter_modules(overlay.__path__)):
        for kind in vars(importlib.import_module(f"{overlay.__name__}.{module}")).values():
            if (
                isinstance(kind, type)
                and issubclass(kind, Overlay)
                and kind.__module__.endswith(f".{module}")
            ):
                for entry in kind.table:
                    yield f"| {module} | {entry.operation} | {entry.label} | {entry.source} | {entry.about} |"


def test_every_emulated_operation_is_on_the_page(repository: pathlib.Path) -> None:
    page = (repository / "docs/architecture/emulation.md").read_text()
    found = list(rows())
    assert len(found) > 40
    missing = [row for row in found if row not in page]
    assert not missing, "add these rows:\n" + "\n".join(missing)
    assert [line for line in page.partition("## Operations")[2].splitlines()[3:] if line] == found
    assert not [row for row in found if row.count("|") != 6 or " | |" in row]


@given(
    st.lists(
        st.tuples(st.sampled_from(["crash", "capacity"]), st.sampled_from(["", "a", "b"]), st.integers(1, 3))
    )
)
def test_a_fault_strikes_as_often_as_planted(planted: list[tuple[str, str, int]]) -> None:
    faults = Faults()
    for kind, endpoint, count in planted:
        faults.plant(Fault(kind=kind, endpoint=endpoint, count=count))
    struck = 0
    for kind in ("crash", "capacity"):
        for endpoint in ("a", "b"):
            while faults.strike(kind, endpoint=endpoint):
                struck += 1
    assert struck == sum(count for _, _, count in planted)
    assert faults.as_data() == []


JSON = st.recursive(
    st.booleans() | st.none() | st.text() | st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_spoilt_answers_keep_their_form(answer: object) -> None:
    import json

    def form(value: object) -> object:
        if isinstance(value, dict):
            return {name: form(member) for name, member in value.items()}
        if isinstance(value, list):
            return [form(member) for member in value]
        return type(value)

    def numbers(value: object) -> list[float]:
        if isinstance(value, dict | list):
            members = value.values() if isinstance(value, dict) else value
            return [number for member in members for number in numbers(member)]
        return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []

    spoilt = json.loads(spoil(json.dumps(answer).encode()))
    assert form(spoilt) == form(answer)
    pairs = zip(numbers(answer), numbers(spoilt), strict=True)
    assert all(before != after for before, after in pairs if before != -2.0)


def test_a_route_is_drained_when_its_last_request_has_ended() -> None:
    server = ModelServer(id="s", port=1, pid=1, isolation="fake", image="i", digest="d")
    invocations = Invocations()
    invocations.flip(("r", "e"), (WeightedServer(variant="v", weight=1.0, server=server),))
    invocations._busy["s"] = 1
    assert not invocations.drain(server, seconds=0.01)
    assert invocations.drain(server, seconds=0.01)
    invocations.flip(("r", "e"), ())
    assert invocations.route(("r", "e")) == ()


def test_a_record_changes_with_time_alone() -> None:
    record = Record(fields={})
    record.become("DELETING", GONE, 3600)
    assert record.status == "DELETING"
    record.until = 0
    assert record.gone


@pytest.mark.parametrize("state", ["ACTIVE", "FAILED"])
def test_a_settled_record_stays(state: str) -> None:
    assert Record(fields={}, state=state).status == state
