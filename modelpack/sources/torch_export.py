"""`.pt2` files by `torch.export.save`: a zip archive with a graph as JSON, raw weights and pickled sample inputs.

Format: docs.pytorch.org/docs/stable/export/pt2_archive.html. `torch.export.load` is not safe on strangers' files: it
unpickles (`torch.load(weights_only=False)` where the safe way fails), evaluates size expressions as Python
(`sympy.sympify`), and looks operators up by dotted path from `torch`. So all three are checked against allow-lists
here before it is called.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from modelpack.errors import BadInput
from modelpack.formats.onnx_files import first_line
from modelpack.formats.variant import Variant
from modelpack.sources import archive, pickles
from modelpack.sources.base import LARGEST, Source
from modelpack.sources.onnx import take_graph
from modelpack.usecases.base import UseCase
from modelpack.usecases.own_model.given import GivenModel

JSON_BYTES = 200_000_000
OPSET = 20
LONGEST_EXPRESSION = 2000
OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims)\.[A-Za-z]\w*\.[A-Za-z]\w*"
    r"|torch\.ops\.higher_order\.(cond|while_loop|scan|wrap_with_set_grad_enabled|wrap_with_autocast)"
    r"|torch\.(sym_int|sym_float|sym_not|sym_max|sym_min|sym_ite|sym_sqrt)|torch\._check"
    r"|_operator\.(add|sub|mul|truediv|floordiv|mod|pow|neg|pos|eq|ne|lt|le|gt|ge|and_|or_|getitem)"
    r"|math\.(ceil|floor|trunc|sqrt)"
)
EXPRESSION = re.compile(
    r"(?:[su]\d+|zuf\d+|Symbol|Integer|Mul|Add|Max|Min|Mod|PythonMod|FloorDiv|CeilDiv|CleanDiv|Eq|Ne|Lt|Le|Gt|Ge"
    r"|And|Or|Not|StrictLessThan|LessThan|GreaterThan|StrictGreaterThan|Equality|Unequality|TruncToInt|ToFloat"
    r"|integer|positive|nonnegative|nonzero|True|False|'[su]\d+'|\d{1,12}|[-+*/%(),=<> ])+"
)
TREES = {"builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict", None}
FILES = re.compile(
    r"data/weights/(weight_\d+|[\w.-]+_weights_config\.json)|data/constants/(tensor_\d+|[\w.-]+_constants_config\.json)"
    r"|data/sample_inputs/[\w.-]+\.pt|models/[\w.-]+\.json|archive_format|archive_version|byteorder|\.data/\w+"
    r"|\.format_version"
)


class TorchExport(Source):
    """An exported program with the use case's signature."""

    name: ClassVar[str] = "torch-export"
    suffixes: ClassVar[tuple[str, ...]] = ("pt2",)
    container: ClassVar[str | None] = "zip archive"

    def open(self, path: Path, usecase: UseCase[Any], folder: Path) -> Variant:
        with archive.open_archive(path, path) as opened:
            check(opened, path)
        import torch

        from modelpack.formats.onnx_export import quiet

        signature = usecase.open_signature() if isinstance(usecase, GivenModel) else usecase.signature()
        try:
            with quiet(), torch.no_grad():
                program = torch.onnx.export(
                    torch.export.load(str(path)),
                    (),
                    dynamo=True,
                    opset_version=OPSET,
                    input_names=[tensor.name for tensor in signature.inputs] if signature else None,
                    output_names=[tensor.name for tensor in signature.outputs] if signature else None,
                    verbose=False,
                )
        except Exception as error:
            raise BadInput(f"torch cannot take it: {first_line(error)}", where=str(path)) from error
        if program is None:
            raise BadInput("torch cannot export it to ONNX", where=str(path))
        return take_graph(program.model_proto, usecase, path, folder)


def check(opened: zipfile.ZipFile, path: Path) -> None:
    """Raises BadInput for anything in the archive that is not on the allow-lists."""
    inside = {one.filename.partition("/")[2]: one.filename for one in opened.infolist()}
    sizes = {one.filename.partition("/")[2]: one.file_size for one in opened.infolist()}
    for name in inside:
        if not FILES.fullmatch(name):
            raise BadInput(f"a part that no exported program needs is refused: {name!r}", where=str(path))
    models = [name for name in inside if name.startswith("models/")]
    if len(models) != 1:
        raise BadInput("not an exported program: it needs one models/*.json", where=str(path))
    for name, full in inside.items():
        if name.startswith("data/sample_inputs/"):
            data = archive.member(opened, full, path, pickles.LARGEST_PICKLE, nested=True)
            pickles.scan_torch_file(data, path)
        elif name.endswith("_config.json"):
            check_weights(parse_json(opened, full, path), sizes, path)
    check_graph(parse_json(opened, inside[models[0]], path), path)


def parse_json(opened: zipfile.ZipFile, name: str, path: Path) -> Any:
    """A JSON member. Raises BadInput when it is damaged or nested too deep."""
    try:
        return json.loads(archive.member(opened, name, path, JSON_BYTES))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{name} is not proper JSON: {first_line(error)}", where=str(path)) from error


def check_weights(config: Any, sizes: dict[str, int], path: Path) -> None:
    """Weights are raw bytes, as many as their shape needs."""
    try:
        for name, one in config["config"].items():
            if one["use_pickle"]:
                raise BadInput(f"the pickled weight {name!r} is refused", where=str(path))
            kind = "constants" if one["path_name"].startswith("tensor") else "weights"
            there = sizes.get(f"data/{kind}/{one['path_name']}", 0)
            wanted = math.prod(size["as_int"] for size in one["tensor_meta"]["sizes"])
            if any(size["as_int"] < 0 for size in one["tensor_meta"]["sizes"]) or wanted > there:
                raise BadInput(f"{name!r} claims {wanted:,} numbers in {there:,} bytes", where=str(path))
    except (KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"damaged list of weights: {error!r}", where=str(path)) from error


def check_graph(graph: Any, path: Path) -> None:
    """Operators, size expressions and containers by allow-list; sizes below the limit."""
    for key, value in pairs(graph):
        if key in ("target", "as_operator") and value is not None and not OPERATOR.fullmatch(str(value)):
            raise BadInput(f"the operator {str(value)[:80]!r} is refused", where=str(path))
        if key == "expr_str" and not harmless(value):
            raise BadInput(f"the size expression {str(value)[:80]!r} is refused", where=str(path))
        if key in ("in_spec", "out_spec") and isinstance(value, str):
            check_tree(value, path)
        if key in ("source_fn_stack", "custom") or (key == "custom_obj_values" and value):
            raise BadInput(f"{key} in an exported program is refused", where=str(path))
        if key == "sizes" and isinstance(value, list):
            known = [size.get("as_int") or 1 for size in value if isinstance(size, dict)]
            if any(not isinstance(one, int) for one in known) or math.prod(map(abs, known)) > LARGEST:
                raise BadInput("a tensor in the graph is larger than any model may be", where=str(path))


def harmless(expression: Any) -> bool:
    """A short sum, product or comparison of sizes: no names but ours, no powers (they can take for ever)."""
    return (
        isinstance(expression, str)
        and len(expression) <= LONGEST_EXPRESSION
        and "**" not in expression
        and EXPRESSION.fullmatch(expression) is not None
    )


def check_tree(text: str, path: Path) -> None:
    """A description of nested inputs: only plain containers."""
    try:
        kinds = {value for key, value in pairs(json.loads(text)) if key == "type"}
    except (ValueError, RecursionError) as error:
        raise BadInput("the description of its inputs is damaged", where=str(path)) from error
    if foreign := {kind for kind in kinds if kind not in TREES}:
        raise BadInput(f"inputs of the kind {sorted(map(str, foreign))} are refused", where=str(path))


def pairs(data: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, at any depth."""
    waiting = [data]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield from one.items()
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
