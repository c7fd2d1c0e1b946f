"""What a body may be: encodings, content types, binary tensors, whole numbers, missing values; judged by the libraries
that write them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import struct
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from served import Remembering, application, echo_signature, post

from modelpack.server.app import Application
from modelpack.server.http.encodings import MOST_MEMBERS, decompress
from modelpack.server.http.limits import Limits
from modelpack.server.http.refusal import Refusal
from modelpack.server.signature import Tensor

FEATURES = (
    Tensor("price", "FP32", (-1,), missing=True),
    Tensor("count", "INT64", (-1,)),
    Tensor("history", "INT64", (-1, 3), default=0),
)
INSTANCES = [{"price": 1.5, "count": 2, "history": [7]}, {"price": None, "count": 3}]
BODY = json.dumps({"instances": INSTANCES}).encode()
ANSWER = {
    "predictions": [
        {"same_price": 1.5, "same_count": 2, "same_history": [7, 0, 0]},
        {"same_price": None, "same_count": 3, "same_history": [0, 0, 0]},
    ]
}
INFER = "/v2/models/echo/infer"


@pytest.fixture
def features() -> Application:
    return application(Remembering(), echo_signature(FEATURES))


def table_of(*inputs: Tensor) -> tuple[Application, Remembering]:
    engine = Remembering()
    return application(engine, echo_signature(inputs)), engine


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(BODY, mtime=0)),
        ("x-gzip", gzip.compress(BODY, mtime=0)),
        ("GZIP", gzip.compress(BODY[:20], mtime=0) + gzip.compress(BODY[20:], mtime=0)),
        ("deflate", zlib.compress(BODY)),
        ("identity", BODY),
    ],
)
def test_an_encoded_body_is_read(features: Application, encoding: str, body: bytes) -> None:
    answer = post(features, "/invocations", body, content_encoding=encoding)
    assert (answer.status_code, answer.json()) == (200, ANSWER)


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "gzip, br", "\x7f"])
def test_another_encoding_is_refused_with_what_is_taken(features: Application, encoding: str) -> None:
    answer = post(features, "/invocations", BODY, content_encoding=encoding)
    assert answer.status_code == 415
    assert answer.headers["accept-encoding"] == "gzip, deflate"
    assert "gzip, deflate" in answer.json()["error"]


@pytest.mark.parametrize(
    ("encoding", "body", "status", "reason"),
    [
        ("gzip", gzip.compress(b" " * 3_000_000, mtime=0), 413, "more than 1000000 bytes once decompressed"),
        ("gzip", gzip.compress(b" " * 600_000, mtime=0) * 2, 413, "once decompressed"),
        ("deflate", zlib.compress(b" " * 3_000_000), 413, "once decompressed"),
        ("gzip", gzip.compress(BODY, mtime=0)[:-9], 400, "ends too early"),
        ("gzip", BODY, 400, "is not gzip"),
        ("gzip", gzip.compress(BODY, mtime=0) + b"more", 400, "is not gzip"),
        ("deflate", zlib.compress(BODY) + b"more", 400, "something follows"),
        ("deflate", BODY, 400, "is not deflate"),
        ("gzip", gzip.compress(BODY, mtime=0)[:-8] + b"\0" * 8, 400, "is not gzip"),
        ("gzip", b"", 400, "ends too early"),
    ],
)
def test_a_bomb_or_a_damaged_body_is_refused(encoding: str, body: bytes, status: int, reason: str) -> None:
    features = application(Remembering(), echo_signature(FEATURES), Limits(body=1_000_000))
    answer = post(features, "/invocations", body, content_encoding=encoding)
    assert (answer.status_code, reason in answer.json()["error"]) == (status, True), answer.text


def test_members_of_gzip_follow_one_another_up_to_a_bound() -> None:
    """As gzip reads them; a body of the smallest ones would keep a thread busy for minutes."""
    one, many = gzip.compress(b"ab"), gzip.compress(b"")
    body = one * 300 + many * 3 + one
    assert decompress(b"gzip", body, 1000) == gzip.decompress(body) == b"ab" * 301
    assert decompress(b"gzip", many * MOST_MEMBERS, 10) == b""
    with pytest.raises(Refusal, match="members of gzip"):
        decompress(b"gzip", many * (MOST_MEMBERS + 1), 10)


@given(st.lists(st.binary(max_size=40_000), min_size=1, max_size=4), st.integers(0, 9))
def test_what_was_compressed_comes_back(parts: list[bytes], level: int) -> None:
    body = b"".join(gzip.compress(part, level) for part in parts)
    assert decompress(b"gzip", body, 200_000) == b"".join(parts)
    assert decompress(b"deflate", zlib.compress(parts[0], level), 200_000) == parts[0]


@pytest.mark.parametrize("kind", ["text/csv", "application/jsonlines"])
def test_more_lines_than_may_be_are_not_read(kind: str) -> None:
    """What a line becomes takes many times its own memory: so the rest stays text."""
    made = application(Remembering(), echo_signature(FEATURES), Limits(rows=10))
    line = b"1.5,2,7\n" if kind == "text/csv" else b'{"price":1,"count":2}\n'
    body = line * 100_000
    assert post(made, "/invocations", line, content_type=kind).status_code == 200
    tracemalloc.start()
    try:
        answer = post(made, "/invocations", body, content_type=kind)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.status_code == 400, answer.text
    assert peak < 8 * len(body)


@pytest.mark.parametrize(
    ("kind", "body", "answer"),
    [
        (
            "application/jsonlines",
            "\n".join(json.dumps(one) for one in INSTANCES),
            "".join(json.dumps(one, separators=(",", ":")) + "\n" for one in ANSWER["predictions"]),
        ),
        ("text/csv", "1.5,2,7\n,3\n", "1.5,2,7,0,0\nnan,3,0,0,0\n"),
        ("text/csv; charset=utf-8", "\ufeff1.5,2.0,7\r\n\r\nNaN,3,0,0,0\r\n", "1.5,2,7,0,0\nnan,3,0,0,0\n"),
    ],
)
def test_lines_of_json_and_of_csv(features: Application, kind: str, body: str, answer: str) -> None:
    got = post(features, "/invocations", body.encode(), content_type=kind)
    assert (got.status_code, got.text) == (200, answer)
    assert got.headers["content-type"] == kind.partition(";")[0]
    as_json = post(features, "/invocations", body.encode(), content_type=kind, accept="application/json")
    assert as_json.json() == ANSWER


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("*;q=.2", "application/json"),
        ("text/csv", "text/csv"),
        ("text/*", "text/csv"),
        ("text/html, application/x-npy;q=0.4, text/csv;q=0.5", "text/csv"),
        ("application/json;q=0, */*;q=0.1", "application/jsonlines"),
        ("application/x-jsonlines", "application/jsonlines"),
    ],
)
def test_the_answer_comes_as_asked(features: Application, accept: str, kind: str) -> None:
    answer = post(features, "/invocations", BODY, accept=accept)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)


def test_what_is_not_offered_is_told(features: Application) -> None:
    answer = post(features, "/invocations", BODY, accept="text/html;q=1, application/json;q=0")
    assert (answer.status_code, "application/x-npy" in answer.json()["error"]) == (406, True)
    words, _ = table_of(Tensor("words", "BYTES", (-1,)))
    answer = post(words, "/invocations", {"instances": [{"words": "a"}]}, accept="application/x-npy")
    assert (answer.status_code, "text" in answer.json()["error"]) == (406, True)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "no lines"),
        (b"\n\n", "no lines"),
        (b"1.5\n", "a row has 1 columns; the inputs are price (1), count (1), history (the rest)"),
        (b"1.5,x\n", "Expected `int"),
        (b"1.5,2.5\n", "'count' is INT64, and in row 0 2.5 is no whole number"),
        (b"1.5,\n", "Expected `int"),
        (b"inf,1\n", "does not fit"),
        (b'1.5,"2\n', "not CSV"),
        (b'1.5,2"3"\n', "Expected `int"),
        (b"\xff,2\n", "not CSV"),
        (b'"' + b"a" * 200_000 + b'",2\n', "not CSV"),
    ],
)
def test_bad_csv(features: Application, body: bytes, reason: str) -> None:
    answer = post(features, "/invocations", body, content_type="text/csv")
    assert (answer.status_code, reason in answer.json()["error"]) == (400, True), answer.text


def npy(array: Any, **more: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **more)
    return stream.getvalue()


@pytest.mark.parametrize(
    "array",
    [
        np.array([[1, 2], [3, 4]], np.int64),
        np.array([[1, 2], [3, 4]], ">f8"),
        np.asfortranarray(np.array([[1, 2], [3, 4]], np.float32)),
        np.array([[1, 2], [3, 4]], np.uint8),
    ],
)
def test_npy_of_any_number(array: Any) -> None:
    """Also whole floats for an integer input: no value changes."""
    for datatype in ("FP32", "INT64"):
        made, engine = table_of(Tensor("x", datatype, (-1, 2)))
        answer = post(made, "/invocations", npy(array), content_type="application/x-npy")
        assert answer.headers["content-type"] == "application/x-npy"
        np.testing.assert_array_equal(np.load(io.BytesIO(answer.content)), array)
        assert engine.asked[0]["x"].dtype == Tensor("x", datatype, ()).dtype


def test_npy_as_a_table_of_all_inputs(features: Application) -> None:
    table = np.array([[1.5, 2, 7], [np.nan, 3, 0]])
    answer = post(
        features, "/invocations", npy(table), content_type="application/x-npy", accept="application/json"
    )
    assert answer.json() == ANSWER
    answer = post(features, "/invocations", npy(table), content_type="application/x-npy")
    np.testing.assert_array_equal(
        np.load(io.BytesIO(answer.content)), [[1.5, 2, 7, 0, 0], [np.nan, 3, 0, 0, 0]]
    )


def test_npy_of_texts() -> None:
    made, engine = table_of(Tensor("words", "BYTES", (-1,)))
    answer = post(
        made, "/invocations", npy(np.array(["red", "blé"])), content_type="application/x-npy", accept="*/*"
    )
    assert answer.status_code == 406
    assert engine.asked == [] or engine.asked[0]["words"].tolist() == ["red", "blé"]


def header(described: str) -> bytes:
    text = described.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "npy"),
        (b"PK\x03\x04", "npy"),
        (npy(np.array([{"a": 1}], dtype=object), allow_pickle=True), "numbers and text (U) are taken"),
        (npy(np.zeros(3, [("a", "f4"), ("b", "f4")])), "numbers and text (U) are taken"),
        (npy(np.zeros(2, "M8[s]")), "numbers and text (U) are taken"),
        (npy(np.zeros((2, 2), complex)), "numbers and text (U) are taken"),
        (npy(np.zeros((0, 2))), "no rows"),
        (npy(np.zeros((2, 0))), "no rows"),
        (npy(np.float32(1)), "no rows"),
        (npy(np.ones((2, 2))) + b"x", "bytes that follow"),
        (npy(np.ones((2, 2)))[:-1], "bytes that follow"),
        (npy(np.ones((2, 3))), "shape [2, 3] does not fit [-1, 2]"),
        (npy(np.ones((2, 2, 2))), "is no table"),
        (npy(np.array([[1, np.nan]])), "no missing values"),
        (npy(np.array([[1, np.inf]])), "does not fit"),
        (npy(np.array([[1e300, 1]])), "does not fit"),
        (npy(np.array([["a", "b"]])), "does not fit"),
        (
            header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 2), }\n"),
            "bytes that follow",
        ),
        (
            header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -2), }\n") + b"\0" * 16,
            "npy",
        ),
        (header("{'descr': '<f8', 'fortran_order': False, 'shape': (__import__('os'),), }\n"), "npy"),
        (header("(" * 3000), "npy"),
        (header("{'descr': '<f8', 'fortran_order': False, 'shape': (" + "1" * 3000 + "x), }\n"), "npy"),
        (
            header("{'descr': '<f8', 'fortran_order': False, 'shape': (" + "1," * 1500 + "), }\n"),
            "shape [1, 1, 1",
        ),
        (header("{'descr': '<V0', 'fortran_order': False, 'shape': (9,), }\n"), "npy"),
        (
            header("{'descr': '<U1', 'fortran_order': False, 'shape': (1,), }\n") + b"\xff\xff\xff\xff",
            "no character",
        ),
    ],
)
def test_bad_npy(body: bytes, reason: str) -> None:
    made, engine = table_of(Tensor("x", "FP32", (-1, 2)))
    answer = post(made, "/invocations", body, content_type="application/x-npy")
    assert (answer.status_code, reason in answer.json()["error"]) == (400, True), answer.text
    assert engine.asked == []


def test_inputs_that_lie_in_no_columns_say_so() -> None:
    made, _ = table_of(Tensor("a", "FP32", (-1, -1)), Tensor("b", "FP32", (-1, -1)))
    answer = post(made, "/invocations", b"1,2\n", content_type="text/csv")
    assert (answer.status_code, "send application/json" in answer.json()["error"]) == (415, True)


VALUES = {
    "FP32": arrays.arrays(
        np.float32, (3, 2), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)
    ),
    "FP64": arrays.arrays(np.float64, (3, 2), elements=st.floats(allow_nan=False, allow_infinity=False)),
    "INT8": arrays.arrays(np.int8, (3, 2)),
    "INT64": arrays.arrays(np.int64, (3, 2)),
    "UINT64": arrays.arrays(np.uint64, (3, 2)),
    "BOOL": arrays.arrays(np.bool_, (3, 2)),
}


@settings(max_examples=60, deadline=None)
@given(data=st.data(), datatype=st.sampled_from(sorted(VALUES)))
def test_every_form_of_a_table_says_the_same(data: st.DataObject, datatype: str) -> None:
    """JSON, JSON Lines, CSV, npy and both forms of the Open Inference Protocol bring the very same values."""
    values = data.draw(VALUES[datatype])
    made, engine = table_of(Tensor("x", datatype, (-1, 2)))
    listed = values.tolist()
    lines = io.StringIO()
    csv.writer(lines).writerows(listed)
    instances = [{"x": row} for row in listed]
    tensor = {"name": "x", "shape": [3, 2], "datatype": datatype}
    raw = values.astype(values.dtype.newbyteorder("<")).tobytes()
    lead = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": len(raw)}}]}).encode()
    for path, body, headers in (
        ("/invocations", json.dumps({"instances": instances}).encode(), {}),
        (
            "/invocations",
            "\n".join(map(json.dumps, instances)).encode(),
            {"content_type": "application/jsonlines"},
        ),
        ("/invocations", lines.getvalue().encode(), {"content_type": "text/csv"}),
        ("/invocations", npy(values), {"content_type": "application/x-npy"}),
        (INFER, json.dumps({"inputs": [{**tensor, "data": listed}]}).encode(), {}),
        (INFER, json.dumps({"inputs": [{**tensor, "data": values.ravel().tolist()}]}).encode(), {}),
        (INFER, lead + raw, {"inference_header_content_length": str(len(lead))}),
    ):
        answer = post(made, path, body, **headers)
        assert answer.status_code == 200, (path, headers, answer.text)
    assert len(engine.asked) == 7
    for got in engine.asked:
        np.testing.assert_array_equal(got["x"], values)
        assert got["x"].dtype == values.dtype


@pytest.mark.parametrize("whole", ["5.0", "5e0", "50E-1", "5"])
def test_a_whole_float_is_an_integer(whole: str) -> None:
    made, engine = table_of(Tensor("n", "INT64", (-1,)), Tensor("m", "UINT8", (-1, 2)))
    both = f'{{"n": {whole}, "m": [1, {whole}]}}'
    assert post(made, "/invocations", f'{{"instances": [{both}]}}'.encode()).status_code == 200
    inputs = (
        f'{{"name": "n", "shape": [1], "datatype": "INT64", "data": [{whole}]}}, '
        f'{{"name": "m", "shape": [1, 2], "datatype": "UINT8", "data": [[1, {whole}]]}}'
    )
    assert post(made, INFER, f'{{"inputs": [{inputs}]}}'.encode()).status_code == 200
    for asked in engine.asked:
        assert (asked["n"].tolist(), asked["m"].tolist()) == ([5], [[1, 5]])
        assert [asked[name].dtype.name for name in "nm"] == ["int64", "uint8"]


@pytest.mark.parametrize(
    "number", ["5.5", "1e300", "9007199254740993.0", "-0.5", "1e999", "300.0", "-1.0", '"5"', "true"]
)
def test_another_float_is_not(number: str) -> None:
    made, engine = table_of(Tensor("m", "UINT8", (-1,)))
    assert post(made, "/invocations", f'{{"instances": [{{"m": {number}}}]}}'.encode()).status_code == 400
    tensor = f'{{"name": "m", "shape": [1], "datatype": "UINT8", "data": [{number}]}}'
    answer = post(made, INFER, f'{{"inputs": [{tensor}]}}'.encode())
    assert (answer.status_code, "'m'" in answer.json()["error"]) == (400, True)
    assert engine.asked == []


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("5.5", "5.5 is no whole number"),
        ("1e16", "1e+16 is beyond 9,007,199,254,740,992"),
        ("1e999", "out of range"),
    ],
)
def test_why_a_float_is_no_integer_is_told(number: str, words: str) -> None:
    made, _ = table_of(Tensor("n", "INT64", (-1,)))
    answer = post(made, "/invocations", f'{{"instances": [{{"n": {number}}}]}}'.encode())
    assert (answer.status_code, words in answer.json()["error"]) == (400, True), answer.text


@pytest.mark.parametrize("end", [", falsd]}]}", "\xff", ", 2}]}", ""])
def test_a_whole_float_before_what_is_no_json(end: str) -> None:
    """What is wrong is met by the reader that takes whole floats, not by the first."""
    made, _ = table_of(Tensor("n", "INT64", (-1, 2)))
    begin = b'{"instances": [{"n": [1.0' + end.encode("latin-1")
    assert post(made, "/invocations", begin).status_code == 400
    assert post(made, "/invocations", begin, content_type="application/jsonlines").status_code == 400
    begin = b'{"inputs": [{"name": "n", "shape": [1, 2], "datatype": "INT64", "data": [1.0' + end.encode(
        "latin-1"
    )
    assert post(made, INFER, begin).status_code == 400


def test_a_missing_value_is_asked_in_every_form() -> None:
    made, engine = table_of(Tensor("x", "FP32", (-1, 2), missing=True))
    raw = np.array([1, np.nan], "<f4").tobytes()
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32"}
    lead = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": 8}}]}).encode()
    for path, body, headers in (
        ("/invocations", b'{"instances": [{"x": [1, null]}]}', {}),
        ("/invocations", b'{"x": [1, null]}\n', {"content_type": "application/jsonlines"}),
        ("/invocations", b"1,\n", {"content_type": "text/csv"}),
        ("/invocations", npy(np.array([[1, np.nan]])), {"content_type": "application/x-npy"}),
        (INFER, json.dumps({"inputs": [{**tensor, "data": [1, None]}]}).encode(), {}),
        (INFER, json.dumps({"inputs": [{**tensor, "data": [[1, None]]}]}).encode(), {}),
        (INFER, lead + raw, {"inference_header_content_length": str(len(lead))}),
    ):
        assert post(made, path, body, **headers).status_code == 200, (path, body)
        np.testing.assert_array_equal(engine.asked[-1]["x"], [[1, np.nan]])
    assert len(engine.asked) == 7


@pytest.mark.parametrize("datatype", ["FP32", "FP64", "INT64", "BOOL", "BYTES"])
def test_a_missing_value_is_refused_where_none_is_taken(datatype: str) -> None:
    made, engine = table_of(Tensor("x", datatype, (-1,)))
    answer = post(made, "/invocations", b'{"instances": [{"x": null}]}')
    assert (answer.status_code, "null" in answer.json()["error"]) == (400, True)
    tensor = {"name": "x", "shape": [1], "datatype": datatype, "data": [None]}
    answer = post(made, INFER, {"inputs": [tensor]})
    assert (answer.status_code, "'x'" in answer.json()["error"]) == (400, True)
    assert post(made, "/invocations", b'{"instances": [{"x": NaN}]}').status_code == 400
    assert engine.asked == []
