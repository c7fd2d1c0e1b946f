"""How the pack came to be what it is: the gate's trail and the front, from the record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cli import show
from cli.record.points import cells, difference, headings, points


def explain(record: Mapping[str, Any]) -> None:
    """Print the trail of passes and, after a search, every combination with the Pareto front marked."""
    title, data = record["metric"], points(record)
    rule = title["baseline"]
    to_beat = "no baseline given" if rule is None else f"{title['baseline_name']}: {rule:.4f}"
    show.say(
        f"{record['usecase']}: {title['name']} {title['value']:.4f} [{title['low']:.4f}, {title['high']:.4f}] on "
        f"{title['requests']:,} requests; {to_beat}"
    )
    show.say(f"Measured on {record['chosen']['hardware']}.")
    show.say()
    show.say("Passes")
    show.table(
        ("pass", "verdict", "why"),
        [(one["name"], "kept" if one["kept"] else "dropped", one["reason"]) for one in record["passes"]],
    )
    show.say()
    search = record.get("search")
    show.say(describe_search(search) if search else "Each pass on top of those kept before it")
    columns = ("#", "combination", "state", *headings(record), "difference")
    rows = [(str(one.number), one.name, one.state, *cells(one), difference(one, record)) for one in data]
    show.table(columns, rows)
    refused = [f"  {one.number}: {one.reason}" for one in data if one.state == "refused"]
    if refused:
        show.say()
        show.say("Refused")
        for line in refused:
            show.say(line)
    cost = record.get("cost") or {}
    if cost.get("usd_hour") is not None:
        show.say()
        show.say(f"$ / million: one thread at work on {cost['instance']}, ${cost['usd_hour']:.4g} an hour.")


def describe_search(search: Mapping[str, Any]) -> str:
    """What was searched for, and how far."""
    spent = f"{search['spent_s']:.0f} s of {search['budget_s']:.0f} s"
    far = "to its end" if search["complete"] else "until the budget was spent"
    return f"Combinations, searched {far} ({spent}) for {search['objective']}; front: none is better in everything"
