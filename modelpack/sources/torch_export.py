"""`.pt2` files by `torch.export.save`: a zip archive with a graph as JSON, raw weights and pickled sample inputs.

Format: docs.pytorch.org/docs/stable/export/pt2_archive.html. `torch.export.load` is not safe on strangers' files: it
unpickles (`torch.load(weights_only=False)` where the safe way fails), evaluates size expressions as Python
(`sympy.sympify`), and looks operators up by dotted path from `torch`. So graph and weights are checked against
allow-lists first; pickles that import anything but tensors are refused, and even those are left out: torch loads a
fresh archive of the checked parts, without sample inputs.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from modelpack.errors import BadInput, first_line
from modelpack.formats.signature import Arrays, Run, Signature
from modelpack.sources import archive, pickles
from modelpack.sources.base import LibraryFormat
from modelpack.sources.limits import LARGEST
from modelpack.sources.strict_json import pairs, parse

if TYPE_CHECKING:
    import onnx

JSON_BYTES = 200_000_000
OPSET = 20
SHORT = 8
MEMORY = 4_000_000_000
FIXED = {"archive_format": b"pt2", "byteorder": b"little", ".data/version": b"3\n"}
LONGEST_EXPRESSION = 2000
OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims)\.[A-Za-z]\w*\.[A-Za-z]\w*"
    # what `x.double()` and `run_decompositions()` leave; others with a line in front may be Python's own attributes
    r"|torch\.ops\.aten\._(assert_tensor_metadata|assert_scalar|to_copy|softmax|log_softmax|safe_softmax)\.default"
    r"|torch\.ops\.aten\._(unsafe_view|native_batch_norm_legit_no_training)\.default|torch\.ops\.aten\._unsafe_index\.Tensor"
    r"|torch\.ops\.higher_order\.(cond|while_loop|scan|wrap_with_set_grad_enabled|wrap_with_autocast)"
    r"|torch\.(sym_int|sym_float|sym_not|sym_max|sym_min|sym_ite|sym_sqrt)|torch\._check"
    r"|_operator\.(add|sub|mul|truediv|floordiv|mod|pow|neg|pos|eq|ne|lt|le|gt|ge|and_|or_|getitem)"
    r"|math\.(ceil|floor|trunc|sqrt)"
)
TOKEN = re.compile(r"[A-Za-z_]\w*|\d+|'[su]\d+'|[-+*/%(),=<> ]")
SIZE_TOKEN = re.compile(
    r"[su]\d+|zuf\d+|'[su]\d+'|\d{1,12}|[-+*/%(),=<> ]|Symbol|Integer|Mul|Add|Max|Min|Mod|PythonMod|FloorDiv|CeilDiv"
    r"|CleanDiv|Eq|Ne|Lt|Le|Gt|Ge|And|Or|Not|StrictLessThan|LessThan|GreaterThan|StrictGreaterThan|Equality|Unequality"
    r"|TruncToInt|ToFloat|integer|positive|nonnegative|nonzero|True|False"
)
"""What a size expression is made of: looked at token by token, which takes no longer than it is long."""
TREES = {"builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict", None}
FILES = re.compile(
    r"data/weights/(weight_\d+|[\w.-]+_weights_config\.json)|data/constants/(tensor_\d+|[\w.-]+_constants_config\.json)"
    r"|data/sample_inputs/[\w.-]+\.pt|models/[\w.-]+\.json|archive_format|archive_version|byteorder|\.data/\w+"
    r"|\.format_version"
)


class TorchExport(LibraryFormat):
    """An exported program with the use case's signature."""

    name: ClassVar[str] = "torch-export"
    suffixes: ClassVar[tuple[str, ...]] = ("pt2",)
    container: ClassVar[str | None] = "zip archive"
    memory: ClassVar[int] = MEMORY
    library: ClassVar[str] = "torch"

    def convert(self, path: Path, wanted: Signature | None, notes: list[str]) -> onnx.ModelProto:
        fresh = copy_checked(path)
        import torch

        from modelpack.formats.onnx_export import quiet

        try:
            with quiet(), torch.no_grad():
                program = torch.onnx.export(
                    torch.export.load(str(fresh)),
                    (),
                    dynamo=True,
                    opset_version=OPSET,
                    input_names=[tensor.name for tensor in wanted.inputs] if wanted else None,
                    output_names=[tensor.name for tensor in wanted.outputs] if wanted else None,
                    verbose=False,
                )
        except MemoryError:
            raise
        except Exception as error:
            raise BadInput(f"torch cannot take it: {first_line(error)}", where=str(path)) from error
        if program is None:
            raise BadInput("torch cannot export it to ONNX", where=str(path))
        graph: onnx.ModelProto = program.model_proto
        return graph

    def original(self, path: Path, signature: Signature) -> Run:
        fresh = copy_checked(path)
        import torch

        program = torch.export.load(str(fresh))
        model, called = program.module(), program.call_spec.in_spec

        def run(inputs: Arrays) -> Arrays:
            given = [torch.from_numpy(np.ascontiguousarray(inputs[one.name])) for one in signature.inputs]
            placed, named = torch.utils._pytree.tree_unflatten(given, called)
            with torch.inference_mode():
                answered = torch.utils._pytree.tree_leaves(model(*placed, **named))
            pairs = zip(signature.outputs, answered, strict=True)
            return {one.name: np.asarray(tensor.detach().numpy()) for one, tensor in pairs}

        return run


def copy_checked(path: Path) -> Path:
    """A fresh archive of the checked parts, in the working folder. Raises BadInput."""
    with path.open("rb") as file, archive.open_archive(file, path) as opened:
        return archive.rewrite(opened, check(opened, path), Path("checked.pt2"))


def check(opened: zipfile.ZipFile, path: Path) -> dict[str, str | bytes]:
    """What a fresh archive holds: its names, each with a member's name or the bytes.

    Raises BadInput for anything in the archive that is not on the allow-lists.
    """
    roots = {one.filename.partition("/")[0] for one in opened.infolist()}
    inside = {one.filename.partition("/")[2]: one.filename for one in opened.infolist()}
    sizes = {one.filename.partition("/")[2]: one.file_size for one in opened.infolist()}
    for name in inside:
        if not FILES.fullmatch(name) or len(roots) > 1:
            raise BadInput(f"a part that no exported program needs is refused: {name!r}", where=str(path))
    models = [name for name in inside if name.startswith("models/")]
    if len(models) != 1:
        raise BadInput("not an exported program: it needs one models/*.json", where=str(path))
    version = archive.member(opened, inside.get("archive_version", "archive_version"), path, SHORT)
    if not version.isdigit():
        raise BadInput("not an exported program: its version is no number", where=str(path))
    kept: dict[str, str | bytes] = {**FIXED, "archive_version": version}
    for name, full in inside.items():
        if name.startswith("data/sample_inputs/"):
            data = archive.member(opened, full, path, pickles.LARGEST_PICKLE, nested=True)
            pickles.scan_torch_file(data, path)
        elif name.endswith("_config.json"):
            config = parse(archive.member(opened, full, path, JSON_BYTES), path, name)
            check_weights(config, sizes, path)
            kind = "weights" if name.startswith("data/weights/") else "constants"
            kept[f"data/{kind}/model_{kind}_config.json"] = json.dumps(config).encode()
        elif name.startswith("data/"):
            kept[name] = full
    graph = parse(archive.member(opened, inside[models[0]], path, JSON_BYTES), path, models[0])
    check_graph(graph, path)
    kept["models/model.json"] = json.dumps(graph).encode()
    kept["data/sample_inputs/model.pt"] = b""
    return {f"model/{name}": content for name, content in kept.items()}


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
    if not isinstance(expression, str) or len(expression) > LONGEST_EXPRESSION or "**" in expression:
        return False
    tokens = TOKEN.findall(expression)
    return all(map(SIZE_TOKEN.fullmatch, tokens)) and sum(map(len, tokens)) == len(expression)


def check_tree(text: str, path: Path) -> None:
    """A description of nested inputs: only plain containers."""
    kinds = {
        value for key, value in pairs(parse(text, path, "the description of its inputs")) if key == "type"
    }
    if foreign := {kind for kind in kinds if kind not in TREES}:
        raise BadInput(f"inputs of the kind {sorted(map(str, foreign))} are refused", where=str(path))
