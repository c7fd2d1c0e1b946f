"""Answers on the wrong side of a guardrail: which they are, on the server's page, in the log."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from modelpack.errors import BadInput
from modelpack.formats.signature import Signature
from modelpack.gate.normal_shares import check_names, limit_for
from modelpack.server.engines.base import Arrays
from modelpack.server.guardrails import GuardedEngine, Guardrails, MetricLog, window_of
from modelpack.server.http.metrics import Metrics
from modelpack.server.metric_names import ANSWERS, DIMENSION, NAMESPACE
from modelpack.server.signature import Guardrail, Tensor

NAN = math.nan
PRICE = Guardrail("price_out_of_bounds", "price", low=0.8, high=1.2, relative_to="usual")
LISTS = Guardrail("identical_lists", "products", "repeated")


def lists(*rows: list[float]) -> dict[str, object]:
    return {"asked": list(range(len(rows))), "products": [list(row) for row in rows]}


@pytest.mark.parametrize(
    ("declared", "rows", "wrong"),
    [
        (PRICE, {"usual": [10.0, 10, 10, 10, 0, 10], "price": [8.0, 7.9, 12, 12.1, 5, NAN]}, 4),
        (Guardrail("declined", "decision", high=0), {"decision": [0, 1, 0, 1, 1]}, 3),
        (Guardrail("least", "each", low=0), {"each": [[1, 2], [1, -1], [NAN, 1]]}, 2),
        (
            Guardrail("refused", "route", "word", word="refused"),
            {"route": ["refused", "order", "refused"]},
            2,
        ),
        (Guardrail("empty", "products", "empty"), lists([0, 0], [0, 3], [NAN, NAN]), 2),
        (Guardrail("empty", "products", "empty"), {"products": [["", ""], ["a", ""]]}, 1),
        (LISTS, lists([1, 2], [1, 2], [1, 2], [2, 1]), 2),
        (LISTS, {"asked": [7, 7, 8], "products": [[1, 2], [1, 2], [3, 4]]}, 0),
        (LISTS, {"asked": ["a", "b", "b"], "products": [["x"], ["x"], ["x"]]}, 1),
    ],
)
def test_which_answers_are_on_the_wrong_side(
    declared: Guardrail, rows: dict[str, list[object]], wrong: int
) -> None:
    arrays = {name: as_served(values) for name, values in rows.items()}
    feeds: Arrays = {name: arrays.pop(name) for name in ("usual", "asked") if name in arrays}
    together, alone = Guardrails([declared]), Guardrails([declared])
    together.look(feeds, arrays)
    for row in range(len(next(iter(arrays.values())))):
        alone.look(
            *({name: array[row : row + 1] for name, array in part.items()} for part in (feeds, arrays))
        )
    assert together.counts == alone.counts == {declared.name: wrong}, "also of rows that share a call"


def as_served(values: list[object]) -> np.ndarray:
    found = np.array(values)
    return found.astype(object) if found.dtype.kind == "U" else found


class Priced:
    """An engine that asks ten times the usual price of every second."""

    def run(self, feeds: Arrays) -> Arrays:
        return {"price": feeds["usual"] * np.where(np.arange(len(feeds["usual"])) % 2, 10, 1)}


def test_the_page_and_the_log_tell_how_many() -> None:
    metrics = Metrics()
    written: list[str] = []
    guardrails = Guardrails([PRICE], metrics)
    log = MetricLog(guardrails, "shop-0123", write=written.append)
    page = metrics.text("prices", "sha256:00", True).decode()
    assert "ecomdeploy_guarded_answers_total 0\n" in page, "nought is told, so that a rate has a beginning"
    engine = GuardedEngine(Priced(), guardrails)
    for _ in range(3):
        engine.run({"usual": np.full(4, 5.0)})
    log.tell()
    log.tell()
    page = metrics.text("prices", "sha256:00", True).decode()
    assert "ecomdeploy_guarded_answers_total 12\n" in page
    assert 'ecomdeploy_guardrail_answers_total{guardrail="price_out_of_bounds"} 6\n' in page
    (line,) = map(json.loads, written)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"]) == (NAMESPACE, [[DIMENSION]])
    assert {each["Name"] for each in directive["Metrics"]} == {ANSWERS, PRICE.name}
    assert (line[DIMENSION], line[ANSWERS], line[PRICE.name]) == ("shop-0123", 12, 6)


def test_a_model_that_names_no_guardrail_shows_none() -> None:
    assert b"guard" not in Metrics().text("prices", "sha256:00", True)


@pytest.mark.parametrize(("given", "seconds"), [("", 10), ("0.2", 0.2), ("never", 10), ("1e9", 10)])
def test_a_window_lasts_ten_seconds_unless_the_variable_says(given: str, seconds: float) -> None:
    assert window_of({"ECOMDEPLOY_GUARDRAIL_SECONDS": given}) == seconds


@pytest.mark.parametrize(("share", "limit"), [(0, 0.05), (0.002, 0.052), (0.2, 0.4), (0.7, 1)])
def test_the_limit_follows_from_what_is_normal(share: float, limit: float) -> None:
    assert limit_for(share) == limit


def test_a_guardrail_on_what_is_not_there_is_refused_with_what_is() -> None:
    interface = Signature((Tensor("usual", "FP32", (-1,)),), (Tensor("price", "FP32", (-1,)),))
    wrong = (Guardrail("Price!", "prices", relative_to="normal"), PRICE, PRICE)
    with pytest.raises(BadInput) as refused:
        check_names(wrong, interface)
    told = str(refused.value)
    assert "no output 'prices'" in told
    assert "no input 'normal'" in told
    assert told.count("names are of small letters") == 3
