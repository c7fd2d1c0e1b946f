"""Bodies read fast: whatever they hold, what comes of it is what the careful reading gives, to the last bit or word."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from fuzzing import mutated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served import echo_signature

from modelpack.server.http.instances import Instances
from modelpack.server.http.limits import Limits
from modelpack.server.http.openinference import OpenInference
from modelpack.server.http.plain.inference import PlainInference
from modelpack.server.http.plain.integers import NotPlain
from modelpack.server.http.plain.rows import PlainRows
from modelpack.server.http.refusal import Refusal
from modelpack.server.signature import Tensor

INPUTS = (
    Tensor("who", "INT64", (-1,)),
    Tensor("history", "INT64", (-1, 3), default=0),
    Tensor("places", "INT32", (-1, 2)),
    Tensor("flags", "BOOL", (-1, 2)),
    Tensor("price", "FP32", (-1,), missing=True),
    Tensor("vector", "FP32", (-1, 2)),
    Tensor("half", "FP16", (-1, 2, 1)),
    Tensor("words", "BYTES", (-1, 2)),
    Tensor("kind", "BYTES", (-1,), default="none"),
    Tensor("big", "UINT64", (-1, 1), default=7),
    Tensor("double", "FP64", (-1,), default=0.5),
)
SIGNATURES: tuple[tuple[Tensor, ...], ...] = (
    INPUTS,
    INPUTS[:2],
    INPUTS[1:2],
    INPUTS[5:6],
    (Tensor("row", "INT8", (-1, -1)), Tensor("cube", "INT64", (-1, 1, 2), default=1), INPUTS[5]),
)
LIMITS = Limits(rows=6, elements=120)


@st.composite
def mostly(draw: st.DrawFn, usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> Any:
    """One in 40 is odd: else hardly a body would be good in all that it holds."""
    return draw(odd if draw(st.integers(0, 39)) == 0 else usual)


EDGES = st.sampled_from([2**31, 2**53 + 1, -(2**63), 2**63 - 1, 2**63, 2**64, -1, -3, 10**30, 1.0])
WHOLE = mostly(st.integers(0, 127), EDGES)
ODD = st.sampled_from([1e39, 65519.0, 65520.0, 1e-46, -0.0, 1e308, None, 5, 0.1])
NUMBERS = mostly(st.floats(-10, 10), ODD)
TEXTS = st.sampled_from(["", "a", "ü", "history", '"history"', "\\", "[1]"]) | st.text(max_size=3)
STRANGE = st.one_of(
    st.none(), st.booleans(), WHOLE, NUMBERS, TEXTS, st.lists(WHOLE, max_size=4), st.just({}), st.just([[]])
)
SPACES = st.sampled_from(["", "", "", " ", "\n\t", " \r"])


def values(tensor: Tensor) -> st.SearchStrategy[Any]:
    kinds = {"BOOL": st.booleans(), "BYTES": TEXTS}
    usual = NUMBERS | st.none() if tensor.missing else NUMBERS
    return kinds.get(tensor.datatype, usual if tensor.datatype.startswith("FP") else WHOLE)


def nested(tensor: Tensor) -> st.SearchStrategy[Any]:
    """One row of it, mostly of the right length."""
    made = values(tensor)
    for axis in reversed(tensor.shape[1:]):
        exact = axis if axis > 0 else 2
        loose = 0 if tensor.default is not None else exact
        made = st.lists(made, min_size=loose, max_size=exact + (loose == 0))
    return made


@st.composite
def spelled(draw: st.DrawFn, value: Any) -> str:
    """A value as JSON; of an object (pairs) names may come twice."""
    space = draw(SPACES)
    if isinstance(value, tuple):
        pairs = [f"{json.dumps(name)}{space}:{draw(spelled(one))}" for name, one in value]
        return "{" + f"{space},".join(pairs) + space + "}"
    if isinstance(value, list):
        return "[" + f"{space},{space}".join(draw(spelled(one)) for one in value) + space + "]"
    return json.dumps(value, ensure_ascii=draw(st.booleans()))


@st.composite
def row(draw: st.DrawFn, inputs: tuple[Tensor, ...]) -> tuple[tuple[str, Any], ...]:
    pairs = [(one.name, draw(nested(one))) for one in inputs if one.default is None or draw(st.booleans())]
    if draw(st.integers(0, 9)) == 0:
        name = draw(st.sampled_from([one.name for one in inputs] + ["more"]))
        pairs.insert(draw(st.integers(0, len(pairs))), (name, draw(STRANGE)))
    return tuple(pairs)


@st.composite
def instances(draw: st.DrawFn, lines: bool = False) -> tuple[tuple[Tensor, ...], bytes]:
    inputs = draw(st.sampled_from(SIGNATURES))
    rows = draw(st.lists(row(inputs), max_size=4))
    if lines:
        text = "\n".join(json.dumps(dict(one)) for one in rows)
    else:
        text = draw(
            spelled((("instances", rows), *([("instances", [])] if draw(st.integers(0, 30)) == 0 else [])))
        )
    return inputs, damaged(draw, text.encode("utf-8", "surrogatepass"))


def damaged(draw: st.DrawFn, body: bytes) -> bytes:
    return draw(mutated(st.just(body))) if draw(st.integers(0, 5)) == 0 else body


@st.composite
def item(draw: st.DrawFn, tensor: Tensor, rows: int) -> tuple[tuple[str, Any], ...]:
    axes = [axis if axis > 0 else 2 for axis in tensor.shape[1:]]
    if tensor.default is not None:
        axes = [draw(st.integers(1, axis + 1)) for axis in axes]
    shape = [rows, *axes]
    made = values(tensor)
    if draw(st.booleans()):
        for axis in reversed(axes):
            made = st.lists(made, min_size=axis, max_size=axis)
        size = rows
    else:
        size = int(np.prod(shape))
    data = draw(st.lists(made, min_size=size, max_size=size))
    if data and draw(st.integers(0, 15)) == 0:
        data[draw(st.integers(0, len(data) - 1))] = draw(STRANGE)
    pairs = [("name", tensor.name), ("shape", shape), ("datatype", tensor.datatype), ("data", data)]
    if draw(st.integers(0, 9)) == 0:
        key = draw(st.sampled_from(["name", "shape", "datatype", "data", "parameters", "x"]))
        other = STRANGE | st.sampled_from([*(one.name for one in INPUTS), "INT64", [1], [rows, 1]])
        at = draw(st.integers(0, len(pairs)))
        pairs[at : at + draw(st.integers(0, 1))] = [(key, draw(other))]
    return tuple(pairs)


@st.composite
def requests(draw: st.DrawFn) -> tuple[tuple[Tensor, ...], bytes]:
    inputs = draw(st.sampled_from(SIGNATURES))
    rows = draw(st.integers(1, 3))
    given = [draw(item(one, rows)) for one in inputs if one.default is None or draw(st.booleans())]
    if given and draw(st.integers(0, 15)) == 0:
        given.append(given[0])
    pairs: list[tuple[str, Any]] = [("inputs", given)]
    if draw(st.integers(0, 9)) == 0:
        name = draw(st.sampled_from(["id", "parameters", "outputs", "x"]))
        pairs.append((name, draw(STRANGE | st.just([(("name", "same_who"),)]))))
    return inputs, damaged(draw, draw(spelled(tuple(pairs))).encode("utf-8", "surrogatepass"))


def told(feeds: Mapping[str, Any], rows: int) -> Any:
    """Arrays to the last bit, in their order."""
    return rows, [
        (name, one.dtype, one.shape, one.tolist() if one.dtype == object else one.tobytes())
        for name, one in feeds.items()
    ]


def outcome(read: Callable[[bytes], tuple[Any, ...]], body: bytes) -> Any:
    try:
        *request, feeds, rows = read(body)
    except Refusal as refusal:
        return refusal.status, refusal.reason, refusal.headers, refusal.retry_after
    said = [(one.id, one.parameters, one.outputs) for one in request]
    return said, told(feeds, rows)


def readers(inputs: tuple[Tensor, ...], more: str = "") -> dict[str, Any]:
    return {
        "rows": Instances(inputs, LIMITS, more),
        "inference": OpenInference(echo_signature(inputs), LIMITS),
    }


READERS = {inputs: readers(inputs) for inputs in SIGNATURES}
MORE = {inputs: Instances(inputs, LIMITS, "more") for inputs in SIGNATURES}
many = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@many
@given(instances())
def test_instances(made: tuple[tuple[Tensor, ...], bytes]) -> None:
    inputs, body = made
    for reader in (READERS[inputs]["rows"], MORE[inputs]):
        assert outcome(reader.decode, body) == outcome(reader.decode_carefully, body)


@many
@given(instances(lines=True))
def test_lines(made: tuple[tuple[Tensor, ...], bytes]) -> None:
    inputs, body = made
    for reader in (READERS[inputs]["rows"], MORE[inputs]):
        if body.strip():
            assert outcome(reader.decode_lines, body) == outcome(reader.decode_lines_carefully, body)


@many
@given(requests())
def test_inference(made: tuple[tuple[Tensor, ...], bytes]) -> None:
    inputs, body = made
    reader = READERS[inputs]["inference"]
    assert outcome(reader.decode, body) == outcome(reader.decode_carefully, body)


ROW = {
    "who": 1,
    "history": [5, 6],
    "places": [-1, 2],
    "flags": [True, False],
    "price": None,
    "vector": [0.5, 1],
    "half": [[1.5], [2]],
    "words": ["a", "b"],
}
DATA = {name: [value] * 2 for name, value in ROW.items()}


def asked(flat: bool) -> bytes:
    shapes = {"who": [2], "price": [2], "half": [2, 2, 1]}
    kinds = {one.name: one.datatype for one in INPUTS}

    def spread(values: Any) -> list[Any]:
        return [one for value in values for one in (spread(value) if isinstance(value, list) else [value])]

    return json.dumps(
        {
            "inputs": [
                {
                    "name": name,
                    "shape": shapes.get(name, [2, 2]),
                    "datatype": kinds[name],
                    "data": spread(value) if flat else value,
                }
                for name, value in DATA.items()
            ]
        }
    ).encode()


def test_what_most_callers_send_is_plain() -> None:
    """Else nothing would be won, and the properties above would compare one reading with itself."""
    rows, inference = PlainRows(INPUTS, LIMITS, False), PlainInference(echo_signature(INPUTS), LIMITS)
    feeds, count = rows.decode(json.dumps({"instances": [ROW, ROW]}).encode())
    assert (count, feeds["history"].tolist()) == (2, [[5, 6, 0]] * 2)
    assert feeds["places"].dtype == np.int32
    assert feeds["kind"].tolist() == ["none"] * 2
    assert rows.decode(b"\n".join([json.dumps(ROW).encode()] * 2), lines=True)[1] == 2
    for flat in (True, False):
        _, feeds, count = inference.decode(asked(flat))
        assert (count, feeds["half"].shape) == (2, (2, 2, 1))
        assert feeds["price"].dtype == np.float32
        assert np.isnan(feeds["price"]).all()


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": [{"history": "x", "history": [1]}]}',
        b'{"instances": [{"hist\\u006fry": "x", "history": [1]}]}',
        b'{"instances": [{"history": [1], "history": [2]}, {}]}',
        b'{"instances": [{"history": [9223372036854775808]}]}',
        b'{"instances": [{"history": [1.0]}]}',
        b'{"instances": [{"history": 123}]}',
        b'{"instances": [{"history": [[1]]}]}',
    ],
)
def test_what_only_care_may_decide_is_not(body: bytes) -> None:
    """Of a name that is given twice both values are looked at, as in any other field."""
    with pytest.raises(NotPlain):
        PlainRows(INPUTS[1:2], LIMITS, False).decode(body)
    reader = Instances(INPUTS[1:2], LIMITS)
    assert outcome(reader.decode, body) == outcome(reader.decode_carefully, body)


@pytest.mark.parametrize("inputs", SIGNATURES)
def test_a_name_that_no_input_has(inputs: tuple[Tensor, ...]) -> None:
    """Nor the one that the fast reading keeps for itself."""
    reader = READERS[inputs]["inference"]
    for name in ("", "x", "".join(one.name for one in inputs) + "?"):
        item = {"name": name, "shape": [1], "datatype": "INT64", "data": [1]}
        for fields in (item, {"name": name}, {key: item[key] for key in item if key != "name"}):
            body = json.dumps({"inputs": [fields]}).encode()
            refused = outcome(reader.decode, body)
            assert refused[0] == 400
            assert refused == outcome(reader.decode_carefully, body)


def test_arrays_do_not_overlap() -> None:
    """They share memory, and the user's code may write into one of them."""
    feeds, _ = PlainRows(INPUTS, LIMITS, False).decode(json.dumps({"instances": [ROW, ROW]}).encode())
    before = {name: one.copy() for name, one in feeds.items()}
    feeds["price"][:] = 7
    feeds["vector"][:] = 9
    for name in set(feeds) - {"price", "vector"}:
        assert np.array_equal(feeds[name], before[name])
    assert feeds["price"].tolist() == [7, 7]
