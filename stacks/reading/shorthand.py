"""Short ways to write a value: `passes: auto` for `[auto]`, `budget: 3m` and `bake: 3m` for 180 seconds."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from modelpack.inputs.spec import AUTO
from stacks.reading.document import Value
from stacks.reading.wording import NoDuration

SECONDS = {"s": 1, "m": 60, "h": 3600}
DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h)")

BAKED = ("blue-green", "canary", "linear", "rolling", "shadow")
"""The keys of `rollout` that have a bake."""


def write_out(merged: Value) -> Value:
    """The document with short ways written out; what is neither short nor right stays, to be complained of."""
    merged = put_through(merged, ("pack", "passes"), lambda at: [at] if at.data == AUTO else at.data)
    lasting = (("pack", "budget"), ("rollout", "silence"), *(("rollout", key, "bake") for key in BAKED))
    for path in lasting:
        merged = put_through(
            merged, path, lambda at: in_seconds(at.data) if isinstance(at.data, str) else at.data
        )
    return put_through(merged, ("data", "contract"), write_rules)


def write_rules(contract: Value) -> Any:
    """The rules of a data contract, each with the line that it stands on, for whoever tells that it is broken."""
    if not isinstance(contract.data, list):
        return contract.data
    return [replace(one, data=with_line(one)) if isinstance(one.data, dict) else one for one in contract.data]


def with_line(rule: Value) -> dict[str, Value]:
    """One rule with its line, which is our own word and not the file's: the blank makes that an unknown key."""
    found = {f"{key} " if key == "line" else key: value for key, value in rule.data.items()}
    if (fresh := found.get("fresh")) is not None and isinstance(fresh.data, str):
        found["fresh"] = replace(fresh, data=in_seconds(fresh.data))
    return {**found, "line": Value(rule.line, rule.line, rule.path)}


def put_through(document: Value, path: tuple[str, ...], write: Callable[[Value], Any]) -> Value:
    """The document with one value written otherwise, if it is there."""
    if not path:
        return replace(document, data=write(document))
    inside = document.data.get(path[0]) if isinstance(document.data, dict) else None
    if inside is None:
        return document
    return replace(document, data={**document.data, path[0]: put_through(inside, path[1:], write)})


def in_seconds(text: str) -> float | str:
    """ "3m" as 180; the text itself, to be complained of, when it is no duration."""
    found = DURATION.fullmatch(text)
    return float(found[1]) * SECONDS[found[2]] if found else NoDuration(text)


def describe(parts: dict[str, Any]) -> None:
    """The JSON Schemas of the dataclasses, by name, with the short ways as well."""
    parts["PackSpec"]["properties"]["passes"]["anyOf"].insert(0, {"const": AUTO})
    rule = parts["DataRuleSpec"]["properties"]
    rule.pop("line")
    rule["fresh"]["anyOf"].insert(0, {"type": "string", "pattern": f"^{DURATION.pattern}$"})
    for part in parts.values():
        for key in {"budget", "bake", "silence"} & set(part.get("properties", {})):
            word = part["properties"][key]
            bounds = ("type", "exclusiveMinimum", "minimum", "maximum")
            number = {name: word.pop(name) for name in bounds if name in word}
            word["anyOf"] = [number, {"type": "string", "pattern": f"^{DURATION.pattern}$"}]
