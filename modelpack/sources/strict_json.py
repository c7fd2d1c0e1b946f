"""JSON from strangers in which every name stands once: two readers may take another one of two."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelpack.errors import BadInput
from modelpack.formats.safetensors import once


def parse(data: bytes | str, where: Path, what: str) -> Any:
    """The document, called `what` in errors. Raises BadInput when it is damaged, ambiguous or nested too deep."""
    try:
        return json.loads(data, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise BadInput(
            f"{what} is not proper JSON: {str(error).splitlines()[0][:200]}", where=str(where)
        ) from error


def objects(data: Any) -> Iterator[dict[str, Any]]:
    """Every object at any depth."""
    waiting = [data]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def pairs(data: Any) -> Iterator[tuple[str, Any]]:
    """Every name with its value, at any depth."""
    return (pair for one in objects(data) for pair in one.items())
