"""ONNX graphs from strangers: read without their weights, held against the use case's inputs and outputs.

External data: onnx.ai/onnx/repo-docs/ExternalData.html (`location` is relative to the model file). A crafted
`location` that leaves the folder reads foreign files (CVE-2022-25882, CVE-2024-27318), so every one is checked
here before any weight is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from modelpack.errors import BadInput
from modelpack.formats.onnx_files import external_tensors, nodes
from modelpack.formats.signature import Signature, describe_tensor
from modelpack.sources.limits import LARGEST
from modelpack.sources.onnx_bombs import check_bombs

if TYPE_CHECKING:
    import onnx

DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
"""Operator sets that ONNX Runtime itself carries."""
LARGEST_GRAPH = 2**31 - 1
"""Bytes: protobuf's own limit."""


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
        ("inputs", given, [describe_tensor(tensor) for tensor in signature.inputs]),
        ("outputs", answered, [describe_tensor(tensor) for tensor in signature.outputs]),
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
