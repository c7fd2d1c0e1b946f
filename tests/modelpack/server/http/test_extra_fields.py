"""Fields that are no input: each row's own, in both protocols, as far as the user's code takes them."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelpack.server.engines.base import Arrays
from modelpack.server.http import media
from modelpack.server.http.asgi import JSON
from modelpack.server.http.batch import Batcher
from modelpack.server.http.instances import Instances
from modelpack.server.http.limits import Limits
from modelpack.server.http.openinference import OpenInference
from modelpack.server.http.refusal import Refusal
from modelpack.server.http.tensors import count_bytes
from modelpack.server.signature import ModelSignature, Tensor, TransformFile
from modelpack.server.transform import Steps, TransformedModel

INPUTS = (Tensor("x", "INT64", (-1,)), Tensor("w", "FP32", (-1,), default=1.0))
OUTPUTS = (Tensor("y", "INT64", (-1,)), Tensor("said", "BYTES", (-1,)))
MODEL_OUTPUTS = OUTPUTS[:1]
LIMITS = Limits(extra_fields=300)


def signature(name: str) -> ModelSignature:
    around = TransformFile("transform.py", INPUTS, MODEL_OUTPUTS, name)
    return ModelSignature(1, "echo", "onnxruntime", "model.onnx", INPUTS, OUTPUTS, transform=around)


TAKES = Instances(INPUTS, LIMITS, "more")
TENSORS = OpenInference(signature("more"), LIMITS)


def decode(kind: bytes, instances: list[dict[str, Any]]) -> Arrays:
    """The same instances in a content type of `/invocations`."""
    lines = b"\n".join(json.dumps(one).encode() for one in instances)
    body = lines if kind == media.JSON_LINES else json.dumps({"instances": instances}).encode()
    return media.decode(TAKES, kind, body)[0]


def tensor(name: str, datatype: str, data: list[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(np.shape(data)), "data": data}


def decode_tensors(*tensors: dict[str, Any], raw: bytes = b"") -> Arrays:
    text = json.dumps({"inputs": tensors}).encode()
    return TENSORS.decode(text + raw, str(len(text)).encode() if raw else b"")[1]


@pytest.mark.parametrize("kind", [JSON, media.JSON_LINES])
def test_each_row_keeps_its_own_as_sent(kind: bytes) -> None:
    more: list[dict[str, Any]] = [
        {"coupon": "A", "basket": [1, {"sku": 2.5}]},
        {},
        {"more": None, "coupon": "ü"},
    ]
    feeds = decode(kind, [{"x": row, **fields} for row, fields in enumerate(more)])
    assert list(feeds) == ["x", "w", "more"]
    assert feeds["more"].tolist() == more


def test_tensors_are_cut_by_rows() -> None:
    feeds = decode_tensors(
        tensor("x", "INT64", [1, 2]),
        tensor("coupon", "BYTES", ["A", "B"]),
        tensor("basket", "INT32", [[1, 2], [3, 4]]),
    )
    assert feeds["more"].tolist() == [{"coupon": "A", "basket": [1, 2]}, {"coupon": "B", "basket": [3, 4]}]
    binary = {
        "name": "age", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}
    }  # fmt: skip
    raw = np.array([1.5, 2.5], "<f4").tobytes()
    feeds = decode_tensors(tensor("x", "INT64", [1, 2]), binary, raw=raw)
    assert feeds["more"].tolist() == [{"age": 1.5}, {"age": 2.5}]


@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.text(max_size=5)), min_size=1, max_size=3))
def test_both_protocols_say_the_same(rows: list[tuple[int, str]]) -> None:
    texts = [text.encode("utf-8", "ignore").decode() for _, text in rows]
    instances = [{"x": 1, "n": number, "t": text} for (number, _), text in zip(rows, texts, strict=True)]
    by_tensors = decode_tensors(
        tensor("x", "INT64", [1] * len(rows)),
        tensor("n", "INT64", [number for number, _ in rows]),
        tensor("t", "BYTES", texts),
    )
    for kind in (JSON, media.JSON_LINES):
        assert decode(kind, instances)["more"].tolist() == by_tensors["more"].tolist()


def test_tables_have_no_names_for_them() -> None:
    feeds, _ = media.decode(TAKES, media.CSV, b"1,2\n3,4\n")
    assert feeds["more"].tolist() == [{}, {}]
    with pytest.raises(Refusal, match="a row has 3 columns"):
        media.decode(TAKES, media.CSV, b"1,2,3\n")
    table, _ = media.decode(TAKES, media.NPY, media.encode(media.NPY, {"a": np.ones((2, 2))}))
    assert table["more"].tolist() == [{}, {}]


def test_undeclared_they_are_refused_by_name() -> None:
    plain, tensors = Instances(INPUTS, LIMITS), OpenInference(signature(""), LIMITS)
    for kind, body in (
        (JSON, b'{"instances": [{"x": 1, "coupon": 2}]}'),
        (media.JSON_LINES, b'{"x": 1, "coupon": 2}'),
    ):
        with pytest.raises(Refusal, match="unknown field `coupon`"):
            media.decode(plain, kind, body)
    asked = [tensor("x", "INT64", [1]), tensor("coupon", "INT64", [2])]
    with pytest.raises(Refusal, match="unknown input 'coupon'"):
        tensors.decode(json.dumps({"inputs": asked}).encode())


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


BOUNDS: dict[str, tuple[dict[str, Any], str]] = {
    "too many": ({f"f{number}": 1 for number in range(65)}, "65 fields that are no input; at most 64"),
    "too long": ({"note": "x" * 300}, "at most 300 in one request"),
    "a long name": ({"n" * 300: 1}, "at most 300 in one request"),
    "too deep": ({"list": deep(9)}, "'list' of row 0 is deeper than 8 levels"),
}


@pytest.mark.parametrize("bound", BOUNDS)
def test_what_is_above_a_bound_is_refused(bound: str) -> None:
    fields, words = BOUNDS[bound]
    limits = Limits() if bound == "too many" else LIMITS
    takes = Instances(INPUTS, limits, "more")
    with pytest.raises(Refusal, match=words):
        media.decode(takes, JSON, json.dumps({"instances": [{"x": 1, **fields}]}).encode())
    with pytest.raises(Refusal, match=words):
        media.decode(takes, media.JSON_LINES, json.dumps({"x": 1, **fields}).encode())


TENSOR_BOUNDS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "too many": ([tensor(f"f{number}", "INT64", [1]) for number in range(65)], "at most 64"),
    "too long": ([tensor("note", "BYTES", ["x" * 300])], "at most 300 in one request"),
    "more than is sent": (
        [{"name": "n", "datatype": "INT64", "shape": [1, 301], "data": [1]}],
        "at most 300 in one request",
    ),
    "too deep": ([tensor("list", "INT64", [deep(9)])], "deeper than 8 levels"),
    "another number of rows": ([tensor("n", "INT64", [1, 2])], "different numbers of rows"),
    "no datatype": ([{"name": "n", "datatype": "INT", "shape": [1], "data": [1]}], "'INT' is none of BOOL"),
    "no rows at all": ([{"name": "n", "datatype": "INT64", "shape": [], "data": []}], "does not fit"),
    "twice": ([tensor("n", "INT64", [1]), tensor("n", "INT64", [1])], "given twice"),
    "another type": ([tensor("n", "INT64", ["a"])], "Expected `int`, got `str`"),
}


@pytest.mark.parametrize("bound", TENSOR_BOUNDS)
def test_tensors_above_a_bound_are_refused(bound: str) -> None:
    tensors, words = TENSOR_BOUNDS[bound]
    with pytest.raises(Refusal, match=words):
        decode_tensors(tensor("x", "INT64", [1]), *tensors)


def test_a_body_nested_without_end_is_refused_in_words() -> None:
    body = b'{"instances": [{"x": 1, "deep": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]}"
    with pytest.raises(Refusal, match="the body is not JSON"):
        Instances(INPUTS, Limits(), "more").decode(body)


def test_they_count_in_what_a_request_holds() -> None:
    bare, full = (decode(JSON, [{"x": 1, **more}]) for more in (dict[str, str](), {"note": "x" * 200}))
    assert count_bytes(full) - count_bytes(bare) >= 200


class Model:
    """y = x; waits for `gate`, so that callers gather, and sees what it is given."""

    def __init__(self) -> None:
        self.gate, self.names, self.rows = threading.Event(), set[str](), list[int]()

    def run(self, feeds: Arrays) -> Arrays:
        assert self.gate.wait(20)
        self.names |= set(feeds)
        self.rows.append(len(feeds["x"]))
        return {"y": feeds["x"]}


def finish(answers: dict[str, Any]) -> dict[str, Any]:
    said = np.array([json.dumps(one) for one in answers["more"]], dtype=object)
    return {"y": answers["y"], "said": said, "more": answers["more"]}


FIELDS = st.dictionaries(st.sampled_from("abc"), st.integers() | st.text(max_size=3), max_size=3)
CALLERS = st.lists(
    st.tuples(st.lists(FIELDS, min_size=1, max_size=9), st.sampled_from([JSON, media.JSON_LINES])),
    min_size=2,
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(CALLERS, st.integers(1, 8))
def test_nobody_sees_what_another_sent(callers: list[tuple[list[dict[str, Any]], bytes]], most: int) -> None:
    model, seen = Model(), list[dict[str, Any]]()

    def prepare(inputs: dict[str, Any]) -> dict[str, Any]:
        seen.extend(inputs["more"])
        return inputs

    around = Steps(prepare, finish, INPUTS, OUTPUTS, "more")
    batcher = Batcher(TransformedModel(model, around), most, lambda rows, seconds: None)
    takes = Instances(INPUTS, Limits(), "more")

    async def scene() -> list[Arrays]:
        asked = []
        for number, (rows, kind) in enumerate(callers):
            instances = [{"x": number, **fields} for fields in rows]
            body = (
                msgspec.json.Encoder().encode_lines(instances)
                if kind == media.JSON_LINES
                else msgspec.json.encode({"instances": instances})
            )
            feeds, count = media.decode(takes, kind, body)
            asked.append(asyncio.ensure_future(batcher.infer(feeds, count)))
        await asyncio.sleep(0)
        model.gate.set()
        return list(await asyncio.gather(*asked))

    answers = asyncio.run(scene())
    batcher.close()
    assert model.names == {"x", "w"}
    for number, ((rows, _), answer) in enumerate(zip(callers, answers, strict=True)):
        assert set(answer) == {"y", "said"}
        assert answer["y"].tolist() == [number] * len(rows)
        assert [json.loads(said) for said in answer["said"]] == rows
    assert len(seen) == sum(len(rows) for rows, _ in callers)
