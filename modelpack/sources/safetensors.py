"""`.safetensors` files: tensors and text only, so that reading one never runs code.

Format: huggingface.co/docs/safetensors (8 bytes header length, JSON header, raw tensors). The library checks that
header, offsets and file length agree; here, before it, the header's size and that no name comes twice. What the file
says of the model's shape is held against its size before any tensor is made.
A file that says nothing about itself may have a `config.json` beside it that does.
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from modelpack.errors import BadInput
from modelpack.formats.allocation import bound_allocation
from modelpack.formats.safetensors import METADATA_KEY, read_header
from modelpack.formats.variant import TORCH, Variant
from modelpack.home import name_file
from modelpack.sources.base import Source
from modelpack.sources.strict_json import parse
from modelpack.sources.taking import Note
from modelpack.usecases.base import UseCase

CONFIG = "config.json"
LARGEST_CONFIG = 10_000_000
BLOCK = 1 << 20


class Safetensors(Source):
    """Weights of the use case's own architecture."""

    name: ClassVar[str] = "safetensors"
    suffixes: ClassVar[tuple[str, ...]] = ("safetensors",)
    gives: ClassVar[frozenset[str]] = frozenset({TORCH})

    def open(self, path: Path, usecase: UseCase[Any], folder: Path, note: Note) -> Variant:
        folder.mkdir(parents=True, exist_ok=True)
        copy = folder / "model.safetensors"
        beside = path.parent / CONFIG
        header = read_header(path)
        if METADATA_KEY not in (header.get("__metadata__") or {}) and beside.is_file():
            write_with(path, header, read_config(beside), copy)
        else:
            shutil.copyfile(path, copy)
        try:
            with bound_allocation(copy.stat().st_size):
                usecase.load(copy)
        except BadInput as error:
            raise BadInput(error.problems[0].what, where=str(path), hint=error.hint) from error
        return Variant(TORCH, copy)

    def parts(self, path: Path) -> tuple[Path, ...]:
        """The file, and the `config.json` beside it."""
        beside = path.parent / CONFIG
        return (path, beside) if beside.is_file() else (path,)


def read_config(path: Path) -> dict[str, Any]:
    """A `config.json`. Raises BadInput when it is no JSON object of a sane size."""
    if path.is_symlink() or path.stat().st_size > LARGEST_CONFIG:
        raise BadInput("a config that is a link or too large is refused", where=str(path))
    config = parse(path.read_bytes(), path, "it")
    if not isinstance(config, dict):
        raise BadInput("not a JSON object", where=str(path))
    return config


def write_with(path: Path, header: Mapping[str, Any], config: Mapping[str, Any], copy: Path) -> None:
    """The file again with `config` in its metadata, tensors unchanged."""
    told = {**(header.get("__metadata__") or {}), METADATA_KEY: json.dumps(config, sort_keys=True)}
    text = json.dumps({**header, "__metadata__": told}).encode()
    text += b" " * (-len(text) % 8)
    with path.open("rb") as source, name_file(copy), copy.open("wb") as target:
        (length,) = struct.unpack("<Q", source.read(8))
        source.seek(8 + length)
        target.write(struct.pack("<Q", len(text)) + text)
        shutil.copyfileobj(source, target, BLOCK)
