"""What an instance holds beside the inputs: refused, unless the user's code around the model takes it.

Then `prepare` and `finish` see it under the name that `Transform(extra_fields=...)` gives: an array with one dict a
row, in which the JSON of that row's own caller stands as it was sent. It travels through the queue as any input does,
so it stays beside its row; the model never gets it.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from modelpack.server.http.limits import Limits
from modelpack.server.http.refusal import Refusal

MOST = 64
"""Fields of one instance."""
DEEPEST = 8
"""Lists and objects within each other."""
EACH = 64
"""Bytes of one small value in Python, about."""
Fields = Mapping[str, msgspec.Raw]


def read(instances: Sequence[Fields], known: Container[str], limits: Limits) -> NDArray[np.object_]:
    """The fields of each instance that are not `known`. Raises `Refusal` (400) for too many, too long or too deep
    ones."""
    unknown = [{name: raw for name, raw in one.items() if name not in known} for one in instances]
    check_size(sum(len(name) + len(bytes(raw)) for one in unknown for name, raw in one.items()), limits)
    return as_rows([{name: _value(name, raw) for name, raw in one.items()} for one in unknown])


def as_rows(found: Sequence[dict[str, Any]]) -> NDArray[np.object_]:
    """One dict a row. Raises `Refusal` (400) for too many or too deep fields."""
    for row, fields in enumerate(found):
        check_count(len(fields))
        for name, value in fields.items():
            if not shallow(value, DEEPEST):
                raise Refusal(400, f"field {name[:200]!r} of row {row} is deeper than {DEEPEST} levels")
    rows = np.empty(len(found), dtype=np.object_)
    rows[:] = found
    return rows


def check_count(count: int) -> None:
    """Raises `Refusal` (400) for more of them than one instance may have."""
    if count > MOST:
        raise Refusal(400, f"an instance has {count} fields that are no input; at most {MOST}")


def check_size(size: int, limits: Limits) -> None:
    """Raises `Refusal` (400) for more bytes of JSON than all such fields of a request may have."""
    if size > limits.extra_fields:
        raise Refusal(
            400, f"fields that are no input have {size} bytes; at most {limits.extra_fields} in one request"
        )


def shallow(value: Any, levels: int) -> bool:
    """Whether lists and objects are nested no deeper than that."""
    if not isinstance(value, list | dict):
        return True
    below = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(shallow(one, levels - 1) for one in below)


def count_bytes(value: Any) -> int:
    """About what a value takes in memory."""
    if isinstance(value, dict):
        return EACH + sum(EACH + len(name) + count_bytes(one) for name, one in value.items())
    if isinstance(value, list):
        return EACH + sum(map(count_bytes, value))
    return EACH + (len(value) if isinstance(value, str) else 0)


def _value(name: str, raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise Refusal(400, f"field {name[:200]!r}: {problem}") from None
