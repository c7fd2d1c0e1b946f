"""Rules of what replicas follow: one load to aim at, or steps that make sense together.

They read the plain document, as those of rules.py do.
"""

from __future__ import annotations

from collections.abc import Iterator

from stacks.reading.document import Value

LOADS = ("target_rps", "target_concurrency", "steps")
UP, DOWN = ("over", "add"), ("under", "remove")
Found = Iterator[tuple[Value, str, str]]


def list_loads(document: Value) -> list[Value]:
    """Those that are given."""
    found = [document.at("scale", key) for key in LOADS]
    return [one for one in found if one is not None and one.data not in (None, [])]


def scaling_loads(document: Value) -> Found:
    """What is wrong with them."""
    given = list_loads(document)
    for one in given[1:]:
        what = f"is given together with {given[0].path}; the two would pull against each other"
        yield one, what, "leave one out"
    steps = document.at("scale", "steps")
    listed = (
        [one for one in steps.data if isinstance(one.data, dict)]
        if steps and isinstance(steps.data, list)
        else []
    )
    for step in listed:
        keys = {key for key, value in step.data.items() if value.data is not None}
        if keys & {*UP, *DOWN} == keys and keys not in ({*UP}, {*DOWN}):
            yield step, "a step goes up or down", "{over: 100, add: 2} or {under: 20, remove: 1}"
    yield from order(listed)


def order(steps: list[Value]) -> Found:
    """Each load once, and none at which both directions hold."""
    seen: dict[tuple[str, float], Value] = {}
    for step in steps:
        for key in ("over", "under"):
            at = step.at(key)
            if at is None or isinstance(at.data, bool) or not isinstance(at.data, int | float):
                continue
            if (key, at.data) in seen:
                yield at, f"another step is {key} {at.data:g}", ""
            seen[key, at.data] = at
    overs, unders = ([load for key, load in seen if key == word] for word in ("over", "under"))
    if overs and unders and max(unders) >= min(overs):
        what = f"{max(unders):g} is not below every load at which replicas are added ({min(overs):g})"
        yield seen["under", max(unders)], what, "or they come and go"
