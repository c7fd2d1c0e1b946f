"""Alone and in company: the answer to a row must not depend on the rows that share its call.

Rows of many callers share a call (`http/batch.py`). A softmax over the batch axis, a batch's own mean, or one range of
activations for all rows then gives one caller's request another answer beside another caller's. The same rows are
asked alone and in several companies; a model whose answers differ beyond the tolerance of its golden answers is told
with the company in which they did. The pack asks this of every variant, the server of what it is about to serve.

The relation tested is the metamorphic one f(a) = f(a beside anything), Chen, Cheung & Yiu, 1998 (arXiv:2002.12543).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelpack.server.golden import Tolerance, compare

Feeds = dict[str, NDArray[Any]]
Ask = Callable[[Feeds], Mapping[str, NDArray[Any]]]

PROBES = 6
"""Rows that are asked alone and in company."""
BESIDE = 8
"""Rows of a call that strangers share."""
OUTLIERS: Mapping[str, float] = {
    "large": 1e4,
    "large negative": -1e4,
    "huge": 1e30,
    "tiny": 1e-30,
    "denormal": 1e-40,
    "zero": 0.0,
}
"""What a stranger's numbers may be. Those around 1e4 are times the largest number seen, so that a range shared by all
rows loses the others' digits; 1e30 is near the end of float32, 1e-40 below its normal numbers."""


def dependence(ask: Ask, rows: Feeds, most: int, tolerance: Tolerance) -> str:
    """In what company which answer differs, in words; empty when none does, or when no two rows share a call.

    `rows` are real ones, by input name; `most` is how many share a call at most. A company in which the model refuses
    the strangers' values is left out: their own caller would be told.
    """
    rows = {name: values[:PROBES] for name, values in rows.items()}
    count = len(next(iter(rows.values())))
    if most < 2:
        return ""
    alone = [as_predictions(ask(take(rows, [place]))) for place in range(count)]
    for name, batch, places in companies(ask, rows, most):
        answered = as_predictions(ask(batch))
        for place, where in places:
            got = [answered[where]]
            # Equal in every digit also where it is no number: NaN differs from itself, and is in no tolerance.
            if repr(got) == repr(alone[place]):
                continue
            if found := compare({"predictions": alone[place]}, {"predictions": got}, tolerance):
                return f"{name}: {found[0].partition(', ')[2] or found[0]}"
    return ""


def in_cuts(ask: Ask, feeds: Feeds, most: int) -> Feeds:
    """The outputs for all rows, by name, no more than `most` rows a call."""
    count = len(next(iter(feeds.values())))
    if count <= most:
        return dict(ask(feeds))
    parts = [
        ask({name: np.ascontiguousarray(values[begin : begin + most]) for name, values in feeds.items()})
        for begin in range(0, count, most)
    ]
    return {name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in parts[0]}


def companies(ask: Ask, rows: Feeds, most: int) -> Iterator[tuple[str, Feeds, list[tuple[int, int]]]]:
    """A name, a batch, and which row stands where in it."""
    count = len(next(iter(rows.values())))
    shuffled = np.random.default_rng(0).permutation(count)
    for size in sorted({2, min(3, most), most}):
        order = [int(shuffled[place % count]) for place in range(size)]
        yield f"among {size} requests", take(rows, order), [(row, at) for at, row in enumerate(order)]
    size = min(most, BESIDE)
    for kind, stranger in strangers(rows).items():
        try:
            ask(stranger)
        except Exception:  # noqa: S112 - what the model refuses of a stranger is that caller's own 400
            continue
        for first in (0, 1):
            places = [(number % count, at) for number, at in enumerate(range(first, size, 2))]
            yield f"beside {kind} values of another request", mix(rows, stranger, size, places), places


def mix(rows: Feeds, stranger: Feeds, size: int, places: list[tuple[int, int]]) -> Feeds:
    """A batch of strangers with rows at those places."""
    batch = {name: np.repeat(values, size, axis=0) for name, values in stranger.items()}
    for row, at in places:
        for name, values in rows.items():
            batch[name][at] = values[row]
    return batch


def strangers(rows: Feeds) -> dict[str, Feeds]:
    """Rows that nobody asked, one row each, by what is odd about them; of those that are alike one."""
    made: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
        **{kind: partial(outlier, kind) for kind in OUTLIERS},
        "padded": np.zeros_like,
        "the largest": lambda values: np.max(values, axis=0, keepdims=True),
        "the smallest": lambda values: np.min(values, axis=0, keepdims=True),
    }
    found: dict[str, Feeds] = {}
    for kind, make in made.items():
        row = {
            name: of_objects(values) if values.dtype.kind in "OSU" else make(values)[:1]
            for name, values in rows.items()
        }
        if not any(same(row, other) for other in found.values()):
            found[kind] = row
    return found


def same(one: Feeds, other: Feeds) -> bool:
    """Whether two rows hold the same values."""
    return all(np.array_equal(values, other[name]) for name, values in one.items())


def of_objects(values: NDArray[Any]) -> NDArray[Any]:
    """One row of texts; of fields that are no input, real ones of the last row, since only the user's code knows what
    may stand there."""
    return values[-1:].copy() if isinstance(values.flat[0], dict) else long_text(values)


def long_text(values: NDArray[Any]) -> NDArray[Any]:
    """One row whose texts are all of these texts together, several times over."""
    row = values[:1].astype(object)
    row.fill(" ".join(str(one) for one in values.ravel()) * 4)
    return row


def outlier(kind: str, values: NDArray[Any]) -> NDArray[Any]:
    """One row of such numbers; whole numbers stay real, since they may be places in a table."""
    if values.dtype.kind != "f":
        return values[:1].copy()
    seen = float(np.max(np.abs(values), initial=1.0, where=np.isfinite(values)))
    number = OUTLIERS[kind] * (seen if kind.startswith("large") else 1.0)
    most = float(np.finfo(values.dtype).max)
    with np.errstate(under="ignore"):
        return np.full_like(values[:1], min(max(number, -most), most))


def take(rows: Feeds, places: list[int]) -> Feeds:
    """These rows, in this order."""
    return {name: np.ascontiguousarray(values[places]) for name, values in rows.items()}


def as_predictions(outputs: Mapping[str, NDArray[Any]]) -> list[dict[str, Any]]:
    """One object a row, as `/invocations` answers them."""
    listed = {name: np.asarray(values).tolist() for name, values in outputs.items()}
    count = len(next(iter(listed.values())))
    return [{name: values[row] for name, values in listed.items()} for row in range(count)]
