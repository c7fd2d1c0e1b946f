"""From a table to a request and back, judged by the server's own decoders: what a caller of the endpoint would send in
JSON arrives as the same arrays."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelpack.errors import BadInput
from modelpack.server.http.instances import Instances
from modelpack.server.http.openinference import OpenInference
from modelpack.server.signature import HandlerModule, ModelSignature, Tensor
from stacks.scoring import columns
from stacks.scoring.columns import INVOCATIONS, BadRow

ANSWER = Tensor("answer", "FP32", (-1,))
WHOLE = {"INT8": 8, "INT32": 32, "INT64": 64}


def sign(*inputs: Tensor, outputs: tuple[Tensor, ...] = (ANSWER,), **more: Any) -> ModelSignature:
    return ModelSignature(1, "shop", "onnxruntime", "model.onnx", inputs, outputs, **more)


def planned(signature: ModelSignature, table: pa.Table, *keep: str) -> columns.ScoringColumns:
    return columns.plan(signature, table.schema, keep, as_text=False)


def batch_of(table: pa.Table) -> pa.RecordBatch:
    (batch,) = table.combine_chunks().to_batches()
    return batch


def sent(signature: ModelSignature, table: pa.Table) -> tuple[str, dict[str, Any]]:
    """By which path, and the arrays that the server makes of it."""
    body = columns.encode(planned(signature, table), batch_of(table))
    if body.path == INVOCATIONS:
        feeds, _ = Instances(signature.inputs).decode(body.data)
    else:
        _, feeds, _ = OpenInference(signature).decode(body.data, str(body.header).encode())
    return body.path, dict(feeds)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def tables_of_inputs(draw: st.DrawFn) -> tuple[ModelSignature, pa.Table]:
    rows = draw(st.integers(1, 7))
    tensors, made = [], {}
    for number in range(draw(st.integers(1, 4))):
        kind, name = draw(st.sampled_from(["FP32", "FP64", "BYTES", "BOOL", *WHOLE])), f"in{number}"
        bits = WHOLE.get(kind, 8)
        element = {"BYTES": texts, "BOOL": st.booleans(), "FP32": floats, "FP64": floats}.get(
            kind, st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        )
        width = draw(st.sampled_from([None, None, 1, 3]))
        missing = kind.startswith("FP") and width is None and draw(st.booleans())
        value = st.one_of(st.none(), element) if missing else element
        one_row = value if width is None else st.lists(value, min_size=width, max_size=width)
        tensors.append(Tensor(name, kind, (-1,) if width is None else (-1, width), missing=missing))
        made[name] = draw(st.lists(one_row, min_size=rows, max_size=rows))
    types = {one.name: columns.answer_type(one) for one in tensors}
    return sign(*tensors), pa.table({name: pa.array(made[name], types[name]) for name in made})


@given(tables_of_inputs())
def test_a_table_arrives_as_its_rows_in_json_would(made: tuple[ModelSignature, pa.Table]) -> None:
    signature, table = made
    path, feeds = sent(signature, table)
    assert path != INVOCATIONS
    rows = [{name: row[name] for name in row} for row in table.to_pylist()]
    wanted, _ = Instances(signature.inputs).decode(json.dumps({"instances": rows}).encode())
    assert feeds.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(feeds[name], array)
        assert feeds[name].dtype == array.dtype


@pytest.mark.parametrize(
    ("column", "tensor", "wanted"),
    [
        (pa.array([1, 2], pa.int8()), Tensor("x", "INT64", (-1,)), [1, 2]),
        (pa.array([1, 2**40]), Tensor("x", "FP32", (-1,)), [1, 2**40]),
        (pa.array([16_777_217, 1]), Tensor("x", "FP32", (-1,)), [16_777_216, 1]),
        (pa.array([5.0, -3.0]), Tensor("x", "INT32", (-1,)), [5, -3]),
        (pa.array([Decimal("1.25"), Decimal("-2")]), Tensor("x", "FP64", (-1,)), [1.25, -2.0]),
        (pa.array(["a", "b"]).dictionary_encode(), Tensor("x", "BYTES", (-1,)), ["a", "b"]),
        (pa.array(["ü", ""], pa.large_string()), Tensor("x", "BYTES", (-1,)), ["ü", ""]),
        (pa.array([None, 2.5]), Tensor("x", "FP32", (-1,), missing=True), [float("nan"), 2.5]),
        (pa.array([None, 3]), Tensor("x", "FP64", (-1,), missing=True), [float("nan"), 3]),
        (
            pa.array([[1, 2], [3, 4]], pa.list_(pa.int16(), 2)),
            Tensor("x", "INT64", (-1, 2)),
            [[1, 2], [3, 4]],
        ),
    ],
)
def test_types_that_hold_the_same_value_are_taken(
    column: pa.Array, tensor: Tensor, wanted: list[Any]
) -> None:
    _, feeds = sent(sign(tensor), pa.table({"x": column}))
    np.testing.assert_array_equal(feeds["x"], np.array(wanted, tensor.dtype))


@pytest.mark.parametrize(
    ("column", "tensor", "said", "row"),
    [
        (pa.array([1, 300]), Tensor("x", "INT8", (-1,)), "300 not in range", None),
        (pa.array([1.5, 2.0]), Tensor("x", "INT64", (-1,)), "truncated", None),
        (pa.array(["1", "2"]), Tensor("x", "INT64", (-1,)), "x is string; the model takes INT64", None),
        (pa.array([1, 2]), Tensor("x", "BYTES", (-1,)), "x is int64; the model takes BYTES", None),
        (pa.array([1, 0]), Tensor("x", "BOOL", (-1,)), "x is int64; the model takes BOOL", None),
        (pa.array([1, None, 3]), Tensor("x", "INT64", (-1,)), "no value", 1),
        (pa.array([1.0, None]), Tensor("x", "FP32", (-1,)), "no value", 1),
        (pa.array(["a", None]), Tensor("x", "BYTES", (-1,)), "no value", 1),
        (pa.array([[1.0], None]), Tensor("x", "FP32", (-1, 1)), "no value", 1),
        (pa.array([1.0, 2.0]), Tensor("x", "FP32", (-1, 2)), "takes lists", None),
        (pa.array([[1.0], [2.0]]), Tensor("x", "FP32", (-1,)), "has lists in it", None),
    ],
)
def test_what_the_model_does_not_take_is_told_with_its_row(
    column: pa.Array, tensor: Tensor, said: str, row: int | None
) -> None:
    with pytest.raises(BadRow, match=said) as told:
        sent(sign(tensor), pa.table({"x": column}))
    assert told.value.row == row


def test_lists_of_several_lengths_go_as_json_and_are_padded_by_the_server() -> None:
    tensor = Tensor("history", "INT64", (-1, 4), default=0)
    path, feeds = sent(sign(tensor), pa.table({"history": [[1, 2], [3], [4, 5, 6, 7, 8]]}))
    assert path == INVOCATIONS
    assert feeds["history"].tolist() == [[1, 2, 0, 0], [3, 0, 0, 0], [5, 6, 7, 8]]


def test_a_use_case_that_answers_in_its_own_way_is_asked_in_json() -> None:
    signature = sign(Tensor("x", "INT64", (-1,)), handler=HandlerModule("own"))
    body = columns.encode(planned(signature, pa.table({"x": [1]})), batch_of(pa.table({"x": [1]})))
    assert body.path == INVOCATIONS


def test_a_csv_column_is_read_in_the_models_type_and_what_is_kept_stays_text() -> None:
    signature = sign(Tensor("x", "INT64", (-1,)), Tensor("name", "BYTES", (-1,)))
    schema = pa.schema([("sku", pa.string()), ("x", pa.string()), ("name", pa.string())])
    found = columns.plan(signature, schema, (), as_text=True)
    assert found.keep == ("sku",)
    assert found.schema == pa.schema([("sku", pa.string()), ("x", pa.int64()), ("name", pa.string())])
    with pytest.raises(BadInput, match="lists do not stand in a CSV"):
        columns.plan(sign(Tensor("x", "FP32", (-1, 2))), schema, (), as_text=True)


@pytest.mark.parametrize(
    ("keep", "names", "said"),
    [
        ((), ("a",), "no column x, which the model takes"),
        (("b",), ("x",), "--keep b: the table has no such column"),
        ((), ("x", "answer"), "has a column answer, which is what the model answers"),
    ],
)
def test_a_table_that_does_not_fit_is_told(keep: tuple[str, ...], names: tuple[str, ...], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        planned(sign(Tensor("x", "INT64", (-1,))), pa.table({name: [1] for name in names}), *keep)


@pytest.mark.parametrize(
    ("tensor", "values"),
    [
        (Tensor("answer", "FP32", (-1,)), [0.5, 1.5]),
        (Tensor("answer", "INT64", (-1, 2)), [[1, 2], [3, 4]]),
        (Tensor("answer", "BYTES", (-1,)), ["a", "ü"]),
        (Tensor("answer", "BYTES", (-1, 2)), [["a", ""], ["b", "cd"]]),
        (Tensor("answer", "BOOL", (-1,)), [True, False]),
        (Tensor("answer", "FP64", (-1, 2, 1)), [[[1.0], [2.0]], [[3.0], [4.0]]]),
    ],
)
def test_answers_come_back_as_they_were_in_both_protocols(tensor: Tensor, values: list[Any]) -> None:
    signature = sign(Tensor("x", "INT64", (-1,)), outputs=(tensor,))
    table = pa.table({"x": [1, 2]})
    plan = planned(signature, table)
    arrays = {"answer": np.array(values, tensor.dtype)}
    body = columns.encode(plan, batch_of(table))
    bodies = OpenInference(signature)
    asked, _, _ = bodies.decode(body.data, str(body.header).encode())
    (column,) = columns.decode(plan, 2, *bodies.encode(asked, arrays))
    assert (column.to_pylist(), column.type) == (values, columns.answer_type(tensor))
    in_json = json.dumps({"predictions": [{"answer": value} for value in values]}).encode()
    (column,) = columns.decode(plan, 2, in_json, 0)
    assert (column.to_pylist(), column.type) == (values, columns.answer_type(tensor))
    with pytest.raises(ValueError, match="3 rows were asked"):
        columns.decode(plan, 3, in_json, 0)
