"""Trees asked through the library that wrote them: requests as its table of features, its scores as ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from modelpack.formats.signature import Arrays, Signature


def table(inputs: Arrays, signature: Signature, names: Sequence[str], kind: Any) -> Any:
    """Rows of features in the library's order: the one table that is asked, or single features by their names."""
    if len(signature.inputs) == 1 and signature.inputs[0].shape == (-1, len(names)):
        return np.ascontiguousarray(inputs[signature.inputs[0].name], dtype=kind)
    return np.column_stack([np.asarray(inputs[name], dtype=kind).reshape(-1) for name in names])


def answers(scores: Any, signature: Signature) -> Arrays:
    """The library's scores by the names of the signature: FP32 the scores, INT64 the class of the highest, or whether
    the only one is above one half."""
    found = np.asarray(scores)
    label = found.argmax(axis=1) if found.ndim == 2 and found.shape[1] > 1 else found.reshape(-1) > 0.5
    made = {}
    for one in signature.outputs:
        shape = [len(found), *one.shape[1:]]
        value = label.astype(np.int64) if one.datatype == "INT64" else found.astype(np.float32)
        made[one.name] = np.ascontiguousarray(value.reshape(shape))
    return made
