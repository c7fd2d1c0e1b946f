"""Missing values on their way from a user's held-out requests to the model, and what refuses them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hostile
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, helper

from modelpack.errors import BadInput
from modelpack.formats.signature import Signature
from modelpack.server.http.instances import Instances
from modelpack.server.signature import Tensor
from modelpack.usecases.own_model.requests import conform, instance
from modelpack.usecases.own_model.signature import own_signature

OUTPUT = Tensor("y", "FP32", (-1,))


def graph_of(operator: str, domain: str, **attributes: Any) -> Signature:
    """What is found in a graph of one operator with an input of numbers and one of whole numbers."""
    values = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 2]),
        helper.make_tensor_value_info("n", TensorProto.INT64, ["rows"]),
    ]
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 1])
    node = helper.make_node(operator, ["x"], ["y"], domain=domain, **attributes)
    return own_signature(helper.make_model(helper.make_graph([node], "g", values, [answer])), Path("g.onnx"))


@pytest.mark.parametrize("operator", ["TreeEnsembleRegressor", "TreeEnsembleClassifier", "TreeEnsemble"])
def test_trees_take_missing_values_in_numbers(operator: str) -> None:
    found = graph_of(operator, "ai.onnx.ml")
    assert {one.name: one.missing for one in found.inputs} == {"x": True, "n": False}


@pytest.mark.parametrize(("replaced", "missing"), [(float("nan"), True), (-999.0, False)])
def test_an_imputer_takes_what_it_replaces(replaced: float, missing: bool) -> None:
    """skl2onnx's SimpleImputer: NaN, or a number of the user's that stands for it."""
    more = {"imputed_value_floats": [0.5], "replaced_value_float": replaced}
    found = graph_of("Imputer", "ai.onnx.ml", **more)
    assert {one.name: one.missing for one in found.inputs} == {"x": missing, "n": False}


def test_other_graphs_take_none_unless_told() -> None:
    assert not any(one.missing for one in graph_of("Relu", "").inputs)
    assert not any(one.missing for one in own_signature(hostile.benign_graph(), Path("g.onnx")).inputs)


@given(
    values=arrays.arrays(
        np.float32,
        (4, 2),
        elements=st.floats(width=32, allow_infinity=False, allow_nan=False) | st.just(np.float32("nan")),
    )
)
def test_a_request_with_missing_values_is_the_same_once_it_was_json(values: np.ndarray) -> None:
    inputs = (Tensor("x", "FP32", (-1, 2), missing=True),)
    ready = conform({"x": values}, Signature(inputs, (OUTPUT,)), "shop.py")
    body = msgspec.json.encode({"instances": [instance(ready, row) for row in range(4)]})
    feeds, rows = Instances(inputs).decode(body)
    assert rows == 4
    np.testing.assert_array_equal(feeds["x"], values)


@pytest.mark.parametrize(
    ("missing", "value", "words"),
    [
        (False, np.nan, "request 1 holds nan; if the model takes missing values, say so: Tensor('x', 'FP32'"),
        (False, np.inf, "request 1 holds inf, which JSON cannot carry"),
        (True, -np.inf, "request 1 holds -inf, which JSON cannot carry"),
    ],
)
def test_what_no_request_can_carry_is_told_with_its_place(missing: bool, value: float, words: str) -> None:
    signature = Signature((Tensor("x", "FP32", (-1, 2), missing=missing),), (OUTPUT,))
    with pytest.raises(BadInput) as caught:
        conform({"x": np.array([[1, 2], [3, value]])}, signature, "shop.py")
    assert words in str(caught.value)
