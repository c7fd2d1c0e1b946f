"""`.onnx` files: read without running anything, refused when they reach outside their folder or need unknown code.

External data: onnx.ai/onnx/repo-docs/ExternalData.html (`location` is relative to the model file). A crafted
`location` that leaves the folder reads foreign files (CVE-2022-25882, CVE-2024-27318), so every one is checked
here before any weight is read.
"""

from __future__ import annotations

import mmap
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from modelpack.errors import BadInput
from modelpack.formats.onnx_files import external_tensors, first_line, nodes, write
from modelpack.formats.signature import Signature
from modelpack.formats.variant import Variant
from modelpack.server.signature import Tensor
from modelpack.sources.base import LARGEST, Source
from modelpack.sources.onnx_bombs import check_bombs
from modelpack.usecases.base import UseCase
from modelpack.usecases.own_model.given import GivenModel

if TYPE_CHECKING:
    import onnx

DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
"""Operator sets that ONNX Runtime itself carries."""
LARGEST_GRAPH = 2**31 - 1
"""Bytes: protobuf's own limit."""
LOCATION = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])([^\x00]{1,127})", re.DOTALL)
"""A StringStringEntryProto {key: "location", value} as protobuf writes it."""


class Onnx(Source):
    """A graph with the use case's signature."""

    name: ClassVar[str] = "onnx"
    suffixes: ClassVar[tuple[str, ...]] = ("onnx",)

    def open(self, path: Path, usecase: UseCase[Any], folder: Path) -> Variant:
        import onnx

        graph = read(path)
        check_fit(graph, usecase, path)
        try:
            onnx.checker.check_model(str(path))
            onnx.load_external_data_for_model(graph, str(path.parent))
        except (onnx.checker.ValidationError, ValueError, OSError) as error:
            raise BadInput(f"not a valid ONNX model: {first_line(error)}", where=str(path)) from error
        return write(graph, folder)

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


def check_fit(graph: onnx.ModelProto, usecase: UseCase[Any], path: Path) -> None:
    """Raises BadInput for custom operators, and for other inputs or outputs than the use case's."""
    for problem in foreign_operators(graph):
        raise BadInput(problem, where=str(path))
    adopt_signature(graph, usecase, path)
    for problem in differences(graph, usecase.signature(), usecase.max_batch == 1):
        raise BadInput(
            problem, where=str(path), hint=f"the use case {usecase.name!r} fixes inputs and outputs"
        )


def adopt_signature(graph: onnx.ModelProto, usecase: UseCase[Any], path: Path) -> None:
    """Tell a use case that takes any model what this one takes and gives. Raises BadInput when no request fits it."""
    if not isinstance(usecase, GivenModel):
        return
    from modelpack.usecases.own_model.signature import fixed_to_one, own_signature

    usecase.adopt(own_signature(graph, path))
    if fixed_to_one(graph):
        usecase.take_one_at_a_time()


def take_graph(graph: onnx.ModelProto, usecase: UseCase[Any], path: Path, folder: Path) -> Variant:
    """The variant of a graph converted from `path`. Raises BadInput when it does not fit the use case."""
    import onnx

    check_fit(graph, usecase, path)
    check_bombs(graph, path)
    try:
        onnx.checker.check_model(graph)
    except onnx.checker.ValidationError as error:
        raise BadInput(f"its ONNX form is not valid: {first_line(error)}", where=str(path)) from error
    return write(graph, folder)


def read(path: Path) -> onnx.ModelProto:
    """The graph without its weights, external files checked. Raises BadInput when damaged or escaping."""
    import onnx
    from google.protobuf.message import DecodeError

    if path.stat().st_size > LARGEST_GRAPH:
        raise BadInput("a graph above 2 GB is refused; keep the weights in a file beside it", where=str(path))
    try:
        graph = onnx.load_model(str(path), format="protobuf", load_external_data=False)
    except (DecodeError, ValueError) as error:
        raise BadInput("damaged or not an ONNX file", where=str(path)) from error
    if not graph.HasField("graph") or not graph.graph.node:
        raise BadInput("damaged or not an ONNX file: it holds no graph", where=str(path))
    for tensor in external_tensors(graph):
        check_external(tensor, path)
    check_bombs(graph, path)
    return graph


def check_external(tensor: onnx.TensorProto, path: Path) -> None:
    """Raises BadInput when a tensor's file is outside the model's folder, missing, too short or too large."""
    entry = {item.key: item.value for item in tensor.external_data}
    location = entry.get("location", "")
    folder = path.parent.resolve()
    file = (folder / location).resolve()
    if not location or Path(location).is_absolute() or not file.is_relative_to(folder):
        raise BadInput(f"weights outside the model's folder are refused: {location!r}", where=str(path))
    if not file.is_file():
        raise BadInput(f"its weights file is missing: {location}", where=str(path))
    size = file.stat().st_size
    numbers = [entry.get(key, "0") for key in ("offset", "length")]
    if not all(number.isascii() and number.isdigit() for number in numbers):
        raise BadInput(f"the tensor {tensor.name!r} has no proper offset", where=str(path))
    end = sum(map(int, numbers))
    if size > LARGEST or end > size:
        raise BadInput(f"its weights file {location} has {size} bytes; {end} are asked for", where=str(path))


def foreign_operators(graph: onnx.ModelProto) -> list[str]:
    """Operators that only a custom library could run."""
    local = {(function.domain, function.name) for function in graph.functions}
    found = {
        f"{node.domain}::{node.op_type}"
        for node in nodes(graph)
        if node.domain not in DOMAINS and (node.domain, node.op_type) not in local
    }
    return [f"custom operators are refused: {', '.join(sorted(found))}"] if found else []


def differences(graph: onnx.ModelProto, signature: Signature, one_row: bool = False) -> list[str]:
    """How the graph's inputs and outputs differ from the wanted `signature`, in words; with `one_row` it may take
    one row at a time."""
    weights = {tensor.name for tensor in graph.graph.initializer}
    given = [describe(value, one_row) for value in graph.graph.input if value.name not in weights]
    answered = [describe(value, one_row) for value in graph.graph.output]
    wanted = [
        ("inputs", given, [wanted_words(tensor) for tensor in signature.inputs]),
        ("outputs", answered, [wanted_words(tensor) for tensor in signature.outputs]),
    ]
    return [
        f"its {kind} are {', '.join(have)}; wanted: {', '.join(want)}"
        for kind, have, want in wanted
        if sorted(have) != sorted(want)
    ]


def describe(value: onnx.ValueInfoProto, one_row: bool = False) -> str:
    """`name INT64[-1, 200]`; any named or open dimension is -1."""
    from modelpack.usecases.own_model.signature import DATATYPES

    tensor = value.type.tensor_type
    sizes = [size.dim_value if size.HasField("dim_value") else -1 for size in tensor.shape.dim]
    if one_row and sizes[:1] == [1]:
        sizes[0] = -1
    return f"{value.name} {DATATYPES.get(tensor.elem_type, 'other')}{sizes}"


def wanted_words(tensor: Tensor) -> str:
    """The same words for what the use case wants."""
    return f"{tensor.name} {tensor.datatype}{list(tensor.shape)}"
