"""A stranger's names and outputs become the use case's, whatever the graph calls its own values."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from given import Given, answered
from hostile import graph as made_graph
from hostile import node, saved
from onnx import TensorProto, helper

from modelpack.errors import BadInput
from modelpack.formats.signature import Signature
from modelpack.server.signature import Tensor
from modelpack.sources.base import SAVE_INSTEAD, looks_like, open_model
from modelpack.sources.fitting import fit_names
from modelpack.sources.outputs import take_plain_locale

NAMES = ("a", "b", "p", "given/a", "given/given/a")


def subtraction(first: str, second: str, inner: str, output: str) -> onnx.ModelProto:
    """output = first - second, by way of `inner`."""
    values = [
        helper.make_tensor_value_info(one, TensorProto.FLOAT, ["rows"]) for one in (first, second, output)
    ]
    nodes = [node("Sub", [first, second], [inner]), node("Identity", [inner], [output])]
    made = helper.make_graph(nodes, "g", values[:2], values[2:])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize("names", list(itertools.permutations(NAMES, 4)))
def test_any_names_may_cross(names: tuple[str, str, str, str]) -> None:
    """By place, where the names are not the very same: first minus second, never the other way round."""
    first, second, inner, output = names
    wanted = Signature(tuple(Tensor(one, "FP32", (-1,)) for one in ("a", "b")), (Tensor("p", "FP32", (-1,)),))
    graph = fit_names(subtraction(first, second, inner, output), wanted)
    onnx.checker.check_model(graph)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    rows = {"a": np.array([5, 7], np.float32), "b": np.array([1, 2], np.float32)}
    sign = -1 if (first, second) == ("b", "a") else 1
    assert (session.run(["p"], rows)[0] == sign * np.array([4, 5])).all()


def mapped(labels: list[int] | list[str]) -> onnx.ModelProto:
    """x -> label, and a ZipMap of two scores, as CatBoost and scikit-learn write a classifier."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4, 2], [1, 0, -1, 1, 0.5, 0, 0, 1])
    kind = "classlabels_int64s" if isinstance(labels[0], int) else "classlabels_strings"
    nodes = [
        node("MatMul", ["x", "w"], ["scores"]),
        node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
        node("ZipMap", ["scores"], ["p"], "ai.onnx.ml", **{kind: labels}),
    ]
    graph = made_graph(nodes, [weight])
    key = TensorProto.INT64 if isinstance(labels[0], int) else TensorProto.STRING
    scores = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    maps = helper.make_sequence_type_proto(helper.make_map_type_proto(key, scores))
    del graph.graph.output[:]
    graph.graph.output.extend(
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"]),
            helper.make_value_info("p", maps),
        ]
    )
    return graph


class Scored(Given):
    """x (rows, 4) -> two scores; the label is left out."""

    def signature(self) -> Signature:
        return Signature(super().signature().inputs, (Tensor("p", "FP32", (-1, 2)),))


@pytest.mark.parametrize("labels", [[0, 1], [7, 3], ["stay", "leave"]])
def test_a_last_zipmap_is_cut_and_other_outputs_are_left_out(
    tmp_path: Path, labels: list[int] | list[str]
) -> None:
    notes: list[str] = []
    path = saved(mapped(labels), tmp_path / "given")
    variant = open_model(path, Scored(), tmp_path / "taken", notes.append)
    rows = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    assert np.allclose(answered(variant, rows), rows @ [[1, 0], [-1, 1], [0.5, 0], [0, 1]], atol=1e-6)
    assert ", ".join(map(str, labels)) in " ".join(notes)


WORDS = ["ÄÖÜ", "Straße", "ÉÇ Ñ", "Я", "ABC", ""]


@pytest.mark.parametrize("locale", [None, "", "en_US", "en_US.UTF-8"])
def test_letters_are_lowered_without_a_locale_of_the_machine(locale: str | None) -> None:
    """As by Python's own lower(), which scikit-learn calls."""
    more = {} if locale is None else {"locale": locale}
    text = [helper.make_tensor_value_info(name, TensorProto.STRING, ["rows"]) for name in ("x", "y")]
    lower = node("StringNormalizer", ["x"], ["y"], case_change_action="LOWER", is_case_sensitive=1, **more)
    graph = helper.make_model(
        helper.make_graph([lower], "g", text[:1], text[1:]),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    take_plain_locale(graph)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {"x": np.array(WORDS, dtype=object)})[0]
    assert found.tolist() == [one.lower() for one in WORDS]


def test_a_language_with_rules_of_its_own_is_left_as_it_is() -> None:
    graph = made_graph([node("StringNormalizer", ["x"], ["y"], locale="tr_TR")], [])
    before = graph.SerializeToString()
    take_plain_locale(graph)
    assert graph.SerializeToString() == before


@pytest.mark.parametrize("suffix", SAVE_INSTEAD)
def test_a_format_that_is_not_taken_says_what_to_save(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model.{suffix}"
    path.write_bytes(b"x")
    with pytest.raises(BadInput, match="unknown model format") as caught:
        open_model(path, Given(), tmp_path / "taken")
    assert caught.value.hint == SAVE_INSTEAD[suffix]


UNDER_ANOTHER_NAME = {
    "XGBoost's UBJSON": (b"{L\0\0\0\0\0\0\0\x07learner{L", "json", "a UBJSON file", "ubj"),
    "CatBoost's own": (b"CBM1\xd8\x1d\0\0\x10", "onnx", "a CatBoost file", "cbm"),
    "a pickle": (b"\x80\x04\x95\x03\x1f\0\0\0\0\0\0", "onnx", "a Python pickle", "pkl"),
    "Keras 2": (b"\x89HDF\r\n\x1a\n" + bytes(90), "keras", "a HDF5 file", "h5"),
}


@pytest.mark.parametrize("kind", UNDER_ANOTHER_NAME)
def test_a_format_under_another_s_name_says_so_too(tmp_path: Path, kind: str) -> None:
    content, suffix, words, instead = UNDER_ANOTHER_NAME[kind]
    path = tmp_path / f"model.{suffix}"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=words) as caught:
        open_model(path, Given(), tmp_path / "taken")
    assert caught.value.hint == SAVE_INSTEAD[instead]


def test_a_header_as_long_as_ubjson_s_first_bytes_is_safetensors(tmp_path: Path) -> None:
    """`{L` and zeros are 19,579 as a length."""
    path = tmp_path / "model.safetensors"
    path.write_bytes((0x4C7B).to_bytes(8, "little") + b'{"a":{}}')
    assert looks_like(path) is None
