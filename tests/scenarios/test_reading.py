"""Every verb that reads, with a release that serves: it says something, and no call of it changes anything."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typed import Terminal

from tests.contracts.test_reading_verbs import ARGUMENTS, NAMED, READING, VERBS

pytestmark = pytest.mark.slow

OFF_THE_CLOUD = frozenset(
    {"ci check", "ci comment", "ci init", "schema", "cloud kubernetes start", "cloud kubernetes stop"}
)
"""They work on files alone, or on a control plane that this lane of the tests does not build."""
ORDERS = "orders.parquet"
GIVEN = {"predict": [], "score": [ORDERS, "scores"]}
"""What a release that serves takes."""


def test_a_reading_verb_makes_no_mutating_call_where_a_release_serves(shop: Terminal) -> None:
    shop.type("up", "--json")
    request = shop.type("predict", "--json").json["request"]
    pq.write_table(pa.Table.from_pylist(request["instances"]), shop.folder / ORDERS)
    asked = {verb: change_made_by(shop, verb) for verb in READING if verb not in OFF_THE_CLOUD}
    assert asked == dict.fromkeys(asked, 0)
    assert {
        "doctor",
        "logs",
        "plan",
        "platform plan",
        "predict",
        "releases list",
        "releases show",
        "score",
        "status",
    } <= set(asked)


def change_made_by(shop: Terminal, verb: str) -> int:
    """How many mutating calls it made. It must come to its end: what it read was there."""
    before = shop.counts()["mutating"]
    arguments = GIVEN.get(verb, ARGUMENTS.get(verb, []))
    environment = [*(["--environment"] if verb in NAMED else []), "local"]
    named = environment if "environment" in VERBS[verb] else []
    shop.type(*verb.split(), *arguments, *named, expect=None if verb == "doctor" else 0)
    return shop.counts()["mutating"] - before
