"""`.safetensors` files: tensors and text only, so that reading one never runs code.

Format: huggingface.co/docs/safetensors (8 bytes header length, JSON header, raw tensors). The library checks that
header, offsets and file length agree; here, before it, the header's size and that no name comes twice.
A file that says nothing about itself may have a `config.json` beside it that does.
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from modelpack.draft import TORCH, Draft
from modelpack.errors import BadInput
from modelpack.sources.base import Source
from modelpack.usecases.base import UseCase

METADATA_KEY = "ecomdeploy"
CONFIG = "config.json"
LARGEST_HEADER = 100_000_000
"""Bytes; the library's own limit."""
LARGEST_CONFIG = 10_000_000
BLOCK = 1 << 20
OWN = "take a file that `ecomdeploy pack` made, or an .onnx file"
M = TypeVar("M")


class Safetensors(Source):
    """Weights of the use case's own architecture."""

    name: ClassVar[str] = "safetensors"
    suffixes: ClassVar[tuple[str, ...]] = ("safetensors",)

    def open(self, path: Path, usecase: UseCase[Any], folder: Path) -> Draft:
        folder.mkdir(parents=True, exist_ok=True)
        copy = folder / "model.safetensors"
        beside = path.parent / CONFIG
        header = read_header(path)
        if METADATA_KEY not in (header.get("__metadata__") or {}) and beside.is_file():
            write_with(path, header, read_config(beside), copy)
        else:
            shutil.copyfile(path, copy)
        try:
            usecase.load(copy)
        except BadInput as error:
            raise BadInput(error.problems[0].what, where=str(path), hint=error.hint) from error
        return Draft(TORCH, copy)

    def parts(self, path: Path) -> tuple[Path, ...]:
        """The file, and the `config.json` beside it."""
        beside = path.parent / CONFIG
        return (path, beside) if beside.is_file() else (path,)


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


def read_config(path: Path) -> dict[str, Any]:
    """A `config.json`. Raises BadInput when it is no JSON object of a sane size."""
    if path.is_symlink() or path.stat().st_size > LARGEST_CONFIG:
        raise BadInput("a config that is a link or too large is refused", where=str(path))
    try:
        config = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BadInput(f"not proper JSON: {error}", where=str(path)) from error
    if not isinstance(config, dict):
        raise BadInput("not a JSON object", where=str(path))
    return config


def write_with(path: Path, header: Mapping[str, Any], config: Mapping[str, Any], copy: Path) -> None:
    """The file again with `config` in its metadata, tensors unchanged."""
    told = {**(header.get("__metadata__") or {}), METADATA_KEY: json.dumps(config, sort_keys=True)}
    text = json.dumps({**header, "__metadata__": told}).encode()
    text += b" " * (-len(text) % 8)
    with path.open("rb") as source, copy.open("wb") as target:
        (length,) = struct.unpack("<Q", source.read(8))
        source.seek(8 + length)
        target.write(struct.pack("<Q", len(text)) + text)
        shutil.copyfileobj(source, target, BLOCK)


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
        return load(config)
    except Exception as error:
        raise BadInput(f"the tensors do not fit the model: {error}", where=str(path)) from error


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
