"""How many rows a given model takes at once: what its graph says of itself is not always true.

An exporter that saw one row may leave that number inside (a Reshape to [1, 12]), behind an input whose first axis
is called free. Such a model answers one row and fails on two, or answers two with one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from modelpack.errors import BadInput, first_line
from modelpack.formats.signature import Arrays, Run
from modelpack.usecases.base import UseCase
from modelpack.usecases.own_model.requests import instance

HINT = (
    "is it a request that the model takes? A graph of several rows: export it with a free first axis "
    "(torch: dynamic_shapes; others: dynamic_axes)"
)


def only_one(usecase: UseCase[Any], run: Run, data: Any, path: Path) -> str:
    """Why the model takes one row at a time only, in words; empty where it takes as many as the use case asks at once.

    Raises BadInput, with the request, for a model that does not answer one alone.
    """
    inputs = dict(usecase.examples(data, usecase.max_batch))
    count = len(next(iter(inputs.values())))
    check_alone(run, inputs, 0, path)
    for size in sorted({min(2, count), count} - {1}):
        if words := failure(run, inputs, np.arange(size)):
            for row in range(1, size):
                check_alone(run, inputs, row, path)
            return words
    return ""


def check_alone(run: Run, inputs: Arrays, row: int, path: Path) -> None:
    """Raises BadInput for a row that is not answered alone."""
    if words := failure(run, inputs, np.array([row])):
        asked = json.dumps(instance(inputs, row))[:200]
        raise BadInput(
            f"the model does not answer a request alone: {words}: {asked}", where=str(path), hint=HINT
        )


def failure(run: Run, inputs: Arrays, rows: Any) -> str:
    """Why these rows are not answered, one answer each, in words; empty when they are."""
    try:
        answered = run({name: np.ascontiguousarray(values[rows]) for name, values in inputs.items()})
    except Exception as error:
        return f"with {len(rows):,} it fails: {first_line(error)[:300]}"
    for name, values in answered.items():
        shape = np.shape(values)
        if not shape or shape[0] != len(rows):
            return f"with {len(rows):,} its answer {name!r} is {list(shape)}"
    return ""
