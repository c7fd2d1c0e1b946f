"""TensorFlow's SavedModel folders (tensorflow.org/guide/saved_model), brought in by ONNX.

A SavedModel is a program: its operators can read and write files, and some run while it is loaded. Those with effects
are refused by name, without TensorFlow; then every operator must be one that tf2onnx can express, what writes a
checkpoint may stand in the saver's own function alone, and nothing may run at loading but the reading of weights.
TensorFlow reads a fresh copy of the checked program.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from modelpack.errors import BadInput
from modelpack.formats.signature import Arrays, Run, Signature
from modelpack.sources.base import TORCH, LibraryFormat, files_below
from modelpack.sources.fitting import wanted_names
from modelpack.sources.keras import MEMORY, OPSET

if TYPE_CHECKING:
    import onnx

GRAPH = "saved_model.pb"
LARGEST_GRAPH = 2**31 - 1
FILES = re.compile(
    r"saved_model\.pb|fingerprint\.pb|keras_metadata\.pb|variables/variables\.(index|data-\d{5}-of-\d{5})"
)
EFFECTS = re.compile(
    rb"[\x01-\x40](ReadFile|WriteFile|MatchingFiles|PyFunc|PyFuncStateless|EagerPyFunc|WholeFileReader(?:V2)?|SaveSlices"
    rb"|InitializeTableFromTextFile(?:V2)?|TextLineDataset|TFRecordDataset|FixedLengthRecordDataset(?:V2)?|LoadDataset"
    rb"|CustomAggregator|DebugIdentity(?:V\d)?|PrintV2|Print|RemoteCall|LoadLibrary|GcsConfigure\w{0,40})[\x12\x1a\x22*]"
)


PLUMBING = re.compile(
    r"NoOp|Placeholder|VarHandleOp|ReadVariableOp|AssignVariableOp|RestoreV2|SaveV2|ShardedFilename"
    r"|MergeV2Checkpoints|StatefulPartitionedCall|PartitionedCall|StaticRegexFullMatch|StringJoin"
    r"|Const|Identity|IdentityN|Pack|Select|DisableCopyOnRead|VarIsInitializedOp|StopGradient"
)
"""Operators that only load and save weights; tf2onnx never sees them."""
WRITING = frozenset({"SaveV2", "MergeV2Checkpoints", "Save", "SaveSlices"})
INIT_SIGNATURE, INIT_COLLECTIONS = "__saved_model_init_op", ("saved_model_main_op", "legacy_init_op")


class SavedModel(LibraryFormat):
    """A SavedModel with the signature `serving_default`; needs the extra `tensorflow`."""

    name: ClassVar[str] = "savedmodel"
    marker: ClassVar[str | None] = GRAPH
    extra: ClassVar[str] = "tensorflow"
    hidden: ClassVar[tuple[str, ...]] = TORCH
    memory: ClassVar[int] = MEMORY
    library: ClassVar[str] = "tensorflow"

    def convert(self, path: Path, wanted: Signature | None, notes: list[str]) -> onnx.ModelProto:
        check(path)
        fresh = copy_checked(path)
        import onnx
        import tf2onnx.convert

        sys.argv = ["tf2onnx", "--saved-model", str(fresh), "--output", "made.onnx", "--opset", str(OPSET)]
        tf2onnx.convert.main()
        return onnx.load_model("made.onnx")

    def original(self, path: Path, signature: Signature) -> Run:
        check(path)
        fresh = copy_checked(path)
        import tensorflow

        held = tensorflow.saved_model.load(str(fresh))
        serve = held.signatures["serving_default"]
        kinds = {name: one.dtype for name, one in serve.structured_input_signature[1].items()}
        inputs = wanted_names(sorted(kinds), signature.inputs)
        outputs = wanted_names(sorted(serve.structured_outputs), signature.outputs)

        def run(given: Arrays) -> Arrays:
            rows = {one: tensorflow.cast(given[inputs[one]], kind) for one, kind in kinds.items()}
            answered = serve(**rows)
            assert held
            return {outputs[one]: values.numpy() for one, values in answered.items() if one in outputs}

        return run


def check(path: Path) -> None:
    """Raises BadInput for files that no SavedModel needs here, and for operators with effects."""
    for file in files_below(path):
        if not FILES.fullmatch(name := file.relative_to(path).as_posix()):
            raise BadInput(f"a part that no SavedModel needs here is refused: {name!r}", where=str(path))
    if (path / GRAPH).stat().st_size > LARGEST_GRAPH:
        raise BadInput("a graph above 2 GB is refused", where=str(path))
    found = {one.decode() for one in EFFECTS.findall((path / GRAPH).read_bytes())}
    if found:
        raise BadInput(f"operators with effects are refused: {', '.join(sorted(found))}", where=str(path))


def read_checked(path: Path) -> Any:
    """The program in TensorFlow's own messages, checked. Raises BadInput."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2
    from tf2onnx import tfonnx
    from tf2onnx.handler import tf_op

    assert tfonnx
    try:
        held = saved_model_pb2.SavedModel.FromString((path / GRAPH).read_bytes())
    except DecodeError as error:
        raise BadInput("damaged or not a SavedModel", where=str(path)) from error
    expressed = {name for versions in tf_op.get_opsets().values() for table in versions for name in table}
    for meta in held.meta_graphs:
        for problem in (*foreign(meta, expressed), *effects(meta)):
            raise BadInput(problem, where=str(path))
    held.DiscardUnknownFields()
    return held


def copy_checked(path: Path) -> Path:
    """A folder with the program as it was checked, and the weights. Raises BadInput."""
    held = read_checked(path)
    fresh = Path("checked")
    fresh.mkdir()
    (fresh / GRAPH).write_bytes(held.SerializeToString(deterministic=True))
    if (path / "variables").is_dir():
        (fresh / "variables").symlink_to(path / "variables")
    return fresh


def foreign(meta: Any, known: set[str]) -> Iterator[str]:
    """Operators that are neither known nor functions of its own, in words."""
    local = functions(meta)
    nodes = [*meta.graph_def.node, *(node for one in local.values() for node in one.node_def)]
    unknown = {node.op for node in nodes} - known - set(local)
    if found := {name for name in unknown if not PLUMBING.fullmatch(name)}:
        yield f"operators that ONNX cannot express are refused: {', '.join(sorted(found))}"


def effects(meta: Any) -> Iterator[str]:
    """Writing outside the saver's own function, and anything that runs when it is loaded, in words."""
    nodes = {node.name: node for node in meta.graph_def.node}
    local, writing = functions(meta), set(WRITING)
    while more := {name for name, one in local.items() if writing & reach(one.node_def)} - writing:
        writing |= more
    writers = {name for name, node in nodes.items() if writing & calls(node)}
    saver = find_needed([meta.saver_def.save_tensor_name], nodes)
    outputs = [one.name for signature in meta.signature_def.values() for one in signature.outputs.values()]
    served = find_needed([*outputs, meta.saver_def.restore_op_name, *initial(meta)], nodes)
    if stray := (writers - saver) | (writers & served):
        yield f"files are written outside the saver's own function: {', '.join(sorted(stray))[:200]}"
    if stray := writing & set(meta.object_graph_def.concrete_functions):
        yield f"a function that writes files is refused: {', '.join(sorted(stray))[:200]}"
    if running := {name for name in find_needed(initial(meta), nodes) if nodes[name].op != "NoOp"}:
        yield f"operators that run when it is loaded are refused: {', '.join(sorted(running))[:200]}"


def functions(meta: Any) -> dict[str, Any]:
    """Its own functions by name."""
    return {one.signature.name: one for one in meta.graph_def.library.function}


def reach(nodes: Iterable[Any]) -> set[str]:
    """All operators and functions of these nodes."""
    return {name for node in nodes for name in calls(node)}


def calls(node: Any) -> set[str]:
    """The operator of a node, and the functions that it is given."""
    given = [one.func.name for one in node.attr.values()]
    return {node.op, *given, *(func.name for one in node.attr.values() for func in one.list.func)}


def initial(meta: Any) -> list[str]:
    """What runs when the model is loaded."""
    named = [
        one.name
        for name, signature in meta.signature_def.items()
        if name == INIT_SIGNATURE
        for one in signature.outputs.values()
    ]
    kept = [one for name, one in meta.collection_def.items() if name in INIT_COLLECTIONS]
    collected = [name for one in kept for name in one.node_list.value]
    return [*named, *collected]


def find_needed(tensors: Iterable[str], nodes: dict[str, Any]) -> set[str]:
    """The nodes that these tensors or nodes need, themselves among them."""
    waiting, found = list(tensors), set()
    while waiting:
        name = waiting.pop().removeprefix("^").split(":")[0]
        if name in nodes and name not in found:
            found.add(name)
            waiting.extend(nodes[name].input)
    return found
