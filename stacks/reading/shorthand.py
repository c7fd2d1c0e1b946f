"""Short ways to write a value: `passes: auto` for `[auto]`, `budget: 3m` for 180 seconds."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from modelpack.inputs.spec import AUTO
from stacks.reading.document import Value

SECONDS = {"s": 1, "m": 60, "h": 3600}
DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h)")


def write_out(merged: Value) -> Value:
    """The document with short ways written out; what is neither short nor right stays, to be complained of."""
    pack = merged.at("pack")
    if pack is None or not isinstance(pack.data, dict):
        return merged
    inside = dict(pack.data)
    passes, budget = inside.get("passes"), inside.get("budget")
    if passes is not None and passes.data == AUTO:
        inside["passes"] = replace(passes, data=[passes])
    if budget is not None and isinstance(budget.data, str):
        inside["budget"] = replace(budget, data=in_seconds(budget.data))
    return replace(merged, data={**merged.data, "pack": replace(pack, data=inside)})


def in_seconds(text: str) -> float | str:
    """ "3m" as 180; the text itself when it is no duration."""
    found = DURATION.fullmatch(text)
    return float(found[1]) * SECONDS[found[2]] if found else text


def describe(schema: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema of PackSpec with the short ways as well."""
    properties = schema["properties"]
    properties["passes"]["anyOf"].insert(0, {"const": AUTO})
    number = {key: properties["budget"].pop(key) for key in ("type", "exclusiveMinimum", "maximum")}
    properties["budget"]["anyOf"] = [number, {"type": "string", "pattern": f"^{DURATION.pattern}$"}]
    return schema
