"""What comes back from a user's metric, and how near a copy's answers must be to the model's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelpack.errors import BadInput
from modelpack.formats.signature import Arrays, Signature
from modelpack.usecases.own_model.requests import kind_of

RELATIVE, OF_REACH = 0.05, 0.05
"""A number may differ by 5 % of itself and 5 % of how far the model's answers reach."""
OVERLAP = 0.8
"""Of a list of whole numbers (products ranked) so large a share must be there."""
EACH = "one value per request, so that two models can be compared request by request"


def per_request(answered: Any, count: int, where: str) -> NDArray[np.float64]:
    """The metric's values. Raises BadInput for anything but `count` finite numbers."""
    try:
        values = np.asarray(answered)
    except ValueError:
        values = np.asarray(None)
    if values.dtype.kind not in "fiub":
        what = f"metric() answered {kind_of(answered)}, not numbers"
        raise BadInput(what, where=where, hint=f"return {EACH}")
    if values.ndim == 0:
        hint = "leave the mean out: return (answers['label'] == truths), not its mean()"
        raise BadInput(
            f"metric() answered one number ({values.item():g}); {EACH}: {count:,} are wanted",
            where=where,
            hint=hint,
        )
    if values.shape != (count,):
        raise BadInput(
            f"metric() answered the shape {list(values.shape)} for {count:,} requests",
            where=where,
            hint=f"return {EACH}",
        )
    numbers = values.astype(np.float64)
    if len(bad := np.flatnonzero(~np.isfinite(numbers))):
        raise BadInput(
            f"metric() answered {numbers[bad[0]]:g} for request {bad[0] + 1} "
            f"({len(bad):,} of {count:,} are no numbers)",
            where=where,
            hint="decide what such a request is worth, or leave it out of requests()",
        )
    return numbers


def hold_answers(answered: Any, signature: Signature, count: int, where: str) -> dict[str, NDArray[Any]]:
    """What `expected()` answered, one for each request. Raises BadInput for other names and lengths."""
    names = [one.name for one in signature.outputs]
    if not isinstance(answered, Mapping) or not answered:
        what = f"expected() answered {kind_of(answered)}"
        raise BadInput(what, where=where, hint="return a dict of arrays by output name")
    found = {str(name): np.asarray(values) for name, values in answered.items()}
    if strange := [name for name in found if name not in names]:
        what = f"the model does not answer {strange[0]!r}"
        raise BadInput(f"expected(): {what}", where=where, hint=f"it answers: {', '.join(names)}")
    for name, values in found.items():
        if values.ndim == 0 or len(values) != count:
            what = f"expected() answered {name!r} as {list(values.shape)} for {count:,} requests"
            raise BadInput(what, where=where, hint="one answer per request, as many as requests() gives")
    return found


def not_finite(answers: Arrays) -> NDArray[np.bool_]:
    """Which requests are answered with something that is no number."""
    count = len(next(iter(answers.values())))
    bad = np.zeros(count, np.bool_)
    for values in answers.values():
        array = np.asarray(values)
        if array.dtype.kind == "f":
            bad |= ~np.isfinite(array.reshape(count, -1)).all(axis=1)
    return bad


def first_not_finite(answers: Arrays, row: int) -> str:
    """The first such answer to that request, with its output's name."""
    for name, values in answers.items():
        array = np.asarray(values)
        if array.dtype.kind == "f" and not np.isfinite(array[row]).all():
            flat = array[row].reshape(-1)
            return f"{name} {flat[~np.isfinite(flat)][0]}"
    raise ValueError("it is finite")


def tolerances(signature: Signature, answers: Arrays) -> dict[str, Mapping[str, Any]]:
    """How near another copy's answers must be: numbers by their spread, lists of whole numbers as rankings, one whole
    number or text per request (a label) the same."""
    rules: dict[str, Mapping[str, Any]] = {}
    for tensor in signature.outputs:
        if tensor.datatype.startswith("FP"):
            near = float(f"{OF_REACH * reach(answers[tensor.name]):.3g}")
            rules[tensor.name] = {"kind": "close", "rtol": RELATIVE, "atol": max(near, 1e-6)}
        elif len(tensor.shape) == 2 and tensor.shape[1] != 1 and tensor.datatype != "BYTES":
            rules[tensor.name] = {"kind": "ranking", "overlap": OVERLAP}
    return rules


def reach(answers: NDArray[Any]) -> float:
    """From the least to the most: within the middle request where it has many numbers (most of a softmax is near
    nothing, and its spread says little), else over nine tenths of the requests."""
    numbers = np.asarray(answers, dtype=np.float64).reshape(len(answers), -1)
    if numbers.shape[1] > 1:
        return float(np.median(np.ptp(numbers, axis=1)))
    low, high = np.quantile(numbers, [0.05, 0.95])
    return float(high - low)
