"""A stranger's outputs as tensors: a last ZipMap is cut, and outputs that nobody asks for are left out.

ZipMap (onnx.ai/onnx/operators/onnx_aionnxml_ZipMap.html) makes a list of maps from class to score, which no request can
carry. CatBoost's classifiers always end in one, scikit-learn's by default. Texts are put in lower case by a locale that
every image has.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from modelpack.errors import BadInput

if TYPE_CHECKING:
    import onnx

OPSET = 13
ENGLISH = (b"", b"en_US", b"en_GB", b"en")
PLAIN, STRING = b"C.UTF-8", 3
"""The locale, and AttributeProto.STRING."""
CLASSES = ("classlabels_int64s", "classlabels_strings")


def cut_maps(graph: onnx.ModelProto) -> list[str]:
    """Every output that a ZipMap makes becomes the table it is made from; what was cut, in words."""
    from onnx import TensorProto, helper

    told = []
    makers = {node.output[0]: node for node in graph.graph.node if node.op_type == "ZipMap" and node.output}
    for value in graph.graph.output:
        node = makers.get(value.name)
        if node is None:
            continue
        labels = [
            one for part in node.attribute if part.name in CLASSES for one in (*part.ints, *part.strings)
        ]
        words = [one.decode(errors="replace") if isinstance(one, bytes) else str(one) for one in labels]
        node.CopyFrom(helper.make_node("Identity", list(node.input), list(node.output)))
        value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, ["rows", len(labels)]))
        told.append(
            f"the output {value.name!r} is a table with a column for each class: {', '.join(words)}"[:300]
        )
    if told and all(one.domain not in ("", "ai.onnx") for one in graph.opset_import):
        graph.opset_import.add(domain="", version=OPSET)
    return told


def take_plain_locale(graph: onnx.ModelProto) -> None:
    """What lowers or raises letters does so by C.UTF-8, Unicode's own rules, where it asks for English or nothing.

    skl2onnx writes en_US, which no slim image has, and English has no rules of its own; Turkish has.
    """
    for node in graph.graph.node:
        if node.op_type == "StringNormalizer":
            asked = [one for one in node.attribute if one.name == "locale"]
            if all(one.s.partition(b".")[0] in ENGLISH for one in asked):
                for one in asked:
                    node.attribute.remove(one)
                node.attribute.add(name="locale", s=PLAIN, type=STRING)


def choose_outputs(graph: onnx.ModelProto, chosen: Collection[str], path: Path) -> None:
    """Keep those that the user chose by name; all where he chose none. Raises BadInput for one that is not there."""
    given = [value.name for value in graph.graph.output]
    if absent := [name for name in chosen if name not in given]:
        raise BadInput(
            f"it gives no output {absent[0]!r}", where=str(path), hint=f"it gives: {', '.join(given)[:300]}"
        )
    if chosen:
        keep_outputs(graph, chosen)


def keep_outputs(graph: onnx.ModelProto, wanted: Collection[str]) -> None:
    """Leave out the outputs beside the wanted ones, where all of those are there."""
    if not set(wanted) < {value.name for value in graph.graph.output}:
        return
    kept = [value for value in graph.graph.output if value.name in wanted]
    del graph.graph.output[:]
    graph.graph.output.extend(kept)
