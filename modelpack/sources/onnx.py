"""`.onnx` files: read without running anything, refused when they reach outside their folder or need unknown code."""

from __future__ import annotations

import mmap
import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from modelpack.errors import BadInput, first_line
from modelpack.formats.signature import Signature
from modelpack.sources.base import Converted
from modelpack.sources.graphs import read

if TYPE_CHECKING:
    import onnx

LOCATION = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])([^\x00]{1,127})", re.DOTALL)
"""A StringStringEntryProto {key: "location", value} as protobuf writes it."""


class Onnx(Converted):
    """A graph with the use case's signature."""

    name: ClassVar[str] = "onnx"
    suffixes: ClassVar[tuple[str, ...]] = ("onnx",)
    named: ClassVar[bool] = True

    def convert(self, path: Path, wanted: Signature | None, notes: list[str]) -> onnx.ModelProto:
        import onnx

        graph = read(path)
        try:
            onnx.load_external_data_for_model(graph, str(path.parent))
        except (onnx.checker.ValidationError, ValueError, OSError) as error:
            raise BadInput(f"not a valid ONNX model: {first_line(error)}", where=str(path)) from error
        return graph

    def parts(self, path: Path) -> tuple[Path, ...]:
        """The graph, and the files beside it that hold its weights: found by their entries' bytes, without onnx."""
        with path.open("rb") as file:
            if not path.stat().st_size:
                return (path,)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                named = {found[2][: found[1][0]] for found in LOCATION.finditer(content)}
        beside = (path.parent / name.decode(errors="replace") for name in sorted(named) if b"\0" not in name)
        folder = path.parent.resolve()
        return (path, *(one for one in beside if one.is_file() and one.resolve().is_relative_to(folder)))
