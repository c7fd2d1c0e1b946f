"""The golden files: what the real CLI did, one file a scenario, one line a thing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).with_name("golden")
SAME: Final = "as before"
"""A state that a step has left as it was."""


def place(group: str, name: str) -> Path:
    return FOLDER / group / f"{name}.json"


def write(group: str, name: str, records: list[dict[str, Any]]) -> None:
    """Keep what the CLI did."""
    path = place(group, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    last: Any = {}
    lines = []
    for record in records:
        state = SAME if record["state"] == last else record["state"]
        last = record["state"]
        lines.append(written({**record, "state": state}))
    path.write_text("[" + ",\n".join(lines) + "]\n")


def written(record: dict[str, Any]) -> str:
    """What is empty is left out; each resource has a line."""
    rest = {key: value for key, value in record.items() if key != "state" and value not in ({}, [])}
    text = ",\n  ".join(f"{one(key)}: {one(value)}" for key, value in rest.items())
    state = record["state"]
    if state == SAME:
        return f'{{{text},\n  "state": {one(SAME)}}}'
    resources = ",\n    ".join(f"{one(urn)}: {one(resource)}" for urn, resource in state.items())
    return f'{{{text},\n  "state": {{{resources}}}}}'


def one(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def read(group: str, name: str) -> list[dict[str, Any]]:
    """The records as `Bench` makes them."""
    last: Any = {}
    found = []
    for record in json.loads(place(group, name).read_text()):
        last = last if record["state"] == SAME else record["state"]
        found.append({**record, "state": last})
    return found
