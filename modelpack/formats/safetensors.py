"""Safetensors files: the header checked before anything is read, and models of our own loaded from them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

from modelpack.errors import BadInput
from modelpack.formats.allocation import check_sizes

METADATA_KEY = "ecomdeploy"
LARGEST_HEADER = 100_000_000
"""Bytes; the library's own limit."""
MOST_WORDS = 400

OWN = "take a file that `ecomdeploy pack` made, or an .onnx file"
M = TypeVar("M")


def read_header(path: Path) -> dict[str, Any]:
    """The JSON header, no tensor touched. Raises BadInput when it is too large, damaged or names a tensor twice."""
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        there = path.stat().st_size - 8
        if not 0 < length <= min(there, LARGEST_HEADER):
            raise BadInput(
                f"damaged or not a safetensors file: its header would have {length:,} bytes", where=str(path)
            )
        text = file.read(length)
    try:
        header = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"damaged or not a safetensors file: {error}", where=str(path)) from error
    if not isinstance(header, dict):
        raise BadInput("damaged or not a safetensors file: its header is no object", where=str(path))
    return header


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises ValueError when a name comes twice: two readers would see two files."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice in its header")
    return found


def load_own(
    path: Path,
    usecase: str,
    kinds: Collection[str],
    load: Callable[[dict[str, Any]], M],
    named: bool = False,
    hint: str = OWN,
) -> M:
    """The model of a file that the use case's `save` wrote. `load` gets the metadata once its `kind` is one of these;
    `named`: several use cases share the architecture, so the metadata must name this one. Raises BadInput, also for
    whatever `load` raises."""
    config = read_metadata(path)
    if config.get("kind") not in kinds or (named and config.get("usecase") != usecase):
        said = config.get("usecase", config.get("kind", "nothing"))
        raise BadInput(
            f"not a model of the use case {usecase!r}: its metadata says {said!r}", where=str(path), hint=hint
        )
    try:
        check_sizes(config.get("shape"), path.stat().st_size)
        return load(config)
    except Exception as error:
        why = " ".join(str(error).split())[:MOST_WORDS]
        raise BadInput(f"the tensors do not fit the model: {why}", where=str(path)) from error


def read_metadata(path: Path) -> dict[str, Any]:
    """What the file says about itself under our key. Raises BadInput when it is damaged or says nothing."""
    from safetensors import SafetensorError, safe_open

    read_header(path)
    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise BadInput(f"damaged or not a safetensors file: {error}", where=str(path)) from error
    try:
        config = json.loads(metadata.get(METADATA_KEY, "{}"))
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadInput(f"its metadata is not JSON: {error}", where=str(path)) from error
    return config if isinstance(config, dict) else {}
