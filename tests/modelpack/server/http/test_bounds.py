"""What one request may take, in both protocols: above it 4xx with the reason, and the model is not asked."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from served import Remembering, application, echo_signature, post

from modelpack.server import log
from modelpack.server.app import Application
from modelpack.server.engines.base import Arrays
from modelpack.server.http.limits import Limits
from modelpack.server.http.refusal import LONGEST_REASON
from modelpack.server.signature import Tensor

LIMITS = Limits(body=20_000, rows=50, elements=1000)
INPUTS = (
    Tensor("user", "INT64", (-1,)),
    Tensor("history", "INT64", (-1, 30), default=0),
    Tensor("open", "FP32", (-1, -1), default=0.0),
)
INFER = "/v2/models/echo/infer"


@pytest.fixture
def engine() -> Remembering:
    return Remembering()


@pytest.fixture
def made(engine: Remembering) -> Application:
    return application(engine, echo_signature(INPUTS), LIMITS)


def tensor(name: str, shape: list[Any], data: Any, datatype: str = "INT64") -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


USER = tensor("user", [1], [1])
MANY = 10**12


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        # the claim alone, without the values
        ({"inputs": [tensor("history", [MANY, 0], [])]}, "axis of length 0"),
        ({"inputs": [tensor("history", [0, MANY], [])]}, "no rows"),
        ({"inputs": [tensor("open", [MANY, 0], [], "FP32")]}, "axis of length 0"),
        ({"inputs": [tensor("open", [0, 0], [], "FP32")]}, "no rows"),
        ({"inputs": [USER, tensor("open", [1, MANY], [], "FP32")]}, "values; at most 1000"),
        ({"inputs": [tensor("user", [MANY], [1])]}, f"{MANY} rows are asked; at most 50"),
        ({"inputs": [tensor("user", [2**80], [1])]}, "rows"),
        ({"inputs": [tensor("user", [-1], [1])]}, "does not fit"),
        ({"inputs": [tensor("history", [-1, -30], [0] * 30)]}, "does not fit"),
        ({"inputs": [tensor("user", [1] * 17, [1])]}, "length <= 16"),
        ({"inputs": [tensor("user", [], [])]}, "shape [] does not fit [-1]"),
        ({"inputs": [tensor("user", [1.0], [1])]}, "Expected `int`"),
        # a little that is padded to much
        ({"inputs": [tensor("user", [40], [1] * 40)]}, "the inputs have 1280 values; at most 1000"),
        ({"inputs": [tensor("user", [51], [1] * 51)]}, "51 rows are asked; at most 50"),
        # the same again
        ({"inputs": [USER, USER]}, "'user' is given twice"),
        ({"inputs": [USER], "outputs": [{"name": "same_user"}] * 2}, "'same_user' is asked twice"),
        ({"inputs": [USER], "outputs": [{"name": "same_user"}] * 500}, "'same_user' is asked twice"),
        # what is echoed
        ({"inputs": [USER], "id": "x" * 1025}, "length <= 1024"),
        ({"inputs": [tensor("n" * 9000, [1], [1])]}, "unknown input"),
        ({"inputs": [USER], "outputs": [{"name": "n" * 9000}]}, "unknown output"),
        ({"inputs": [{**USER, "n" * 9000: 1}, {**USER, "datatype": "n" * 9000}]}, "given twice"),
        ({"inputs": [{**USER, "datatype": "n" * 9000}]}, "datatype must be INT64"),
        # shape and data differ
        ({"inputs": [tensor("user", [2], [1])]}, "needs 2 values"),
        ({"inputs": [tensor("user", [1], [1, 2])]}, "needs 1 values"),
        ({"inputs": [USER, tensor("history", [1, 4], [[1, 2], [3, 4]])]}, "data has shape [2, 2]"),
        ({"inputs": [USER, tensor("history", [1, 2], [[[1, 2]]])]}, "Expected `int`"),
        ({"inputs": [USER, tensor("history", [1, 2], [[1], [2, 3]])]}, "inhomogeneous"),
        ({"inputs": [{"name": "user", "shape": [1], "datatype": "INT64"}]}, "neither data nor binary"),
        ({"inputs": [tensor("user", [1], 7)]}, "Expected `array`"),
        ({"inputs": [tensor("user", [1], {})]}, "Expected `array`"),
    ],
)
def test_infer(made: Application, engine: Remembering, document: dict[str, Any], reason: str) -> None:
    answer = post(made, INFER, document)
    assert (answer.status_code, reason in answer.json()["error"]) == (400, True), answer.text
    assert len(answer.json()["error"]) <= LONGEST_REASON
    assert engine.asked == []


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"instances": [{"user": 1}] * 51}, "length <= 50 - at `$.instances`"),
        ({"instances": [{"user": 1}] * 40}, "the inputs have 1280 values; at most 1000"),
        ({"instances": [{"user": 1, "open": [1.0] * 1000}]}, "values; at most 1000"),
        ({"instances": [{"user": 1, "open": []}, {"user": 1, "open": [1.0]}]}, "inhomogeneous"),
        ({"instances": [{"user": 1, "n" * 9000: 1}]}, "unknown field"),
        ({"instances": []}, "length >= 1"),
    ],
)
def test_invocations(made: Application, engine: Remembering, document: dict[str, Any], reason: str) -> None:
    answer = post(made, "/invocations", document)
    assert (answer.status_code, reason in answer.json()["error"]) == (400, True), answer.text
    assert len(answer.json()["error"]) <= LONGEST_REASON
    assert engine.asked == []


def test_a_list_of_no_length_is_refused_where_the_length_is_the_callers() -> None:
    engine = Remembering()
    made = application(engine, echo_signature((Tensor("x", "FP32", (-1, -1)),)))
    answer = post(made, "/invocations", {"instances": [{"x": []}] * 5})
    assert (answer.status_code, "axis of length 0" in answer.json()["error"]) == (400, True)
    assert post(made, INFER, {"inputs": [tensor("x", [5, 0], [], "FP32")]}).status_code == 400
    assert engine.asked == []


class Growing:
    """Answers far more than it was asked."""

    def run(self, feeds: Arrays) -> Arrays:
        return {"y": np.zeros((len(feeds["x"]), 2000), np.float32)}


@pytest.mark.parametrize("width", [2000, -1])
def test_an_answer_is_bounded_before_the_model_is_asked_or_after_it(width: int) -> None:
    signature = echo_signature((Tensor("x", "FP32", (-1,)),))
    outputs = (Tensor("y", "FP32", (-1, width)),)
    made = application(
        Growing(), type(signature)(1, "echo", "", "", signature.inputs, outputs), Limits(elements=10_000)
    )
    for rows, status in ((5, 200), (6, 400)):
        for path, document in (
            ("/invocations", {"instances": [{"x": 1.0}] * rows}),
            (INFER, {"inputs": [tensor("x", [rows], [1.0] * rows, "FP32")]}),
        ):
            answer = post(made, path, document)
            assert answer.status_code == status
            if status == 400:
                assert "the answer would have 12000 values; at most 10000" in answer.json()["error"]


@pytest.mark.parametrize(
    ("headers", "body", "status", "reason"),
    [
        ({}, b" " * 20_001, 413, "more than 20000 bytes"),
        ({"content_length": "99999999999999999999"}, b"{}", 413, "more than 20000 bytes"),
        ({"content_type": "text/html"}, b"{}", 415, "application/json"),
        ({"inference_header_content_length": "3"}, b"{}", 400, "does not fit a body of 2 bytes"),
        ({"inference_header_content_length": "-1"}, b"{}", 400, "does not fit"),
        ({"inference_header_content_length": "9" * 5000}, b"{}", 400, "does not fit"),
        ({"inference_header_content_length": "2"}, b'{}"', 400, "missing required field `inputs`"),
    ],
)
def test_a_body_that_is_not_what_its_headers_say(
    made: Application, headers: dict[str, str], body: bytes, status: int, reason: str
) -> None:
    answer = post(made, INFER, body, **headers)
    assert (answer.status_code, reason in answer.json()["error"]) == (status, True), answer.text


BINARY = {"name": "user", "shape": [2], "datatype": "INT64"}


@pytest.mark.parametrize(
    ("more", "raw", "reason"),
    [
        ({"parameters": {"binary_data_size": 8}}, b"\0" * 8, "2 values are 16 bytes, not 8"),
        ({"parameters": {"binary_data_size": 17}}, b"\0" * 16, "17 bytes of binary data, 16 follow"),
        ({"parameters": {"binary_data_size": 10**30}}, b"\0" * 16, "binary data"),
        ({"parameters": {"binary_data_size": -16}}, b"", "a number of bytes"),
        ({"parameters": {"binary_data_size": 16.0}}, b"\0" * 16, "a number of bytes"),
        ({"parameters": {"binary_data_size": True}}, b"\0", "a number of bytes"),
        ({"parameters": {"binary_data_size": 16}, "data": [1, 2]}, b"\0" * 16, "in place of data"),
        ({"data": [1, 2]}, b"\0" * 16, "0 bytes of binary data, 16 follow"),
    ],
)
def test_binary_tensors_that_do_not_add_up(
    made: Application, engine: Remembering, more: dict[str, Any], raw: bytes, reason: str
) -> None:
    lead = json.dumps({"inputs": [{**BINARY, **more}]}).encode()
    answer = post(made, INFER, lead + raw, inference_header_content_length=str(len(lead)))
    assert (answer.status_code, reason in answer.json()["error"]) == (400, True), answer.text
    assert engine.asked == []


@pytest.mark.parametrize(
    ("datatype", "raw", "reason"),
    [
        ("BYTES", b"\1\0\0\0a\2\0\0\0b", "each behind its length"),
        ("BYTES", b"\1\0\0\0a", "each behind its length"),
        ("BYTES", b"\1\0\0\0a\1\0\0\0bc", "each behind its length"),
        ("BYTES", b"\xff\xff\xff\xffa\1\0\0\0b", "each behind its length"),
        ("BYTES", b"\1\0\0\0a\1\0\0\0\xff", "not UTF-8"),
        ("BOOL", b"\1\2", "a byte of 0 or 1"),
        ("FP32", np.array([1, np.nan], "<f4").tobytes(), "no missing values"),
        ("FP64", np.array([1, np.inf], "<f8").tobytes(), "does not fit"),
    ],
)
def test_binary_values_that_are_none(datatype: str, raw: bytes, reason: str) -> None:
    engine = Remembering()
    made = application(engine, echo_signature((Tensor("x", datatype, (-1,)),)))
    described = {
        "name": "x",
        "shape": [2],
        "datatype": datatype,
        "parameters": {"binary_data_size": len(raw)},
    }
    lead = json.dumps({"inputs": [described]}).encode()
    answer = post(made, INFER, lead + raw, inference_header_content_length=str(len(lead)))
    assert (answer.status_code, reason in answer.json()["error"]) == (400, True), answer.text
    assert engine.asked == []


def test_refusals_stand_in_the_log_with_their_reason(
    made: Application, capsys: pytest.CaptureFixture[str]
) -> None:
    """Control characters and what turns text around are escaped: the log is read on a terminal."""
    strange = "a\x1b[31m\x7f\u202e\x9b\nb"
    post(made, INFER, {"inputs": [tensor(strange, [1], [1])]})
    post(made, "/invocations", {"instances": [{"user": "x"}]})
    output = capsys.readouterr().out
    assert output.isascii()
    assert all(32 <= ord(letter) < 127 or letter == "\n" for letter in output)
    lines = [json.loads(line) for line in output.splitlines()]
    assert [(line["event"], line["status"], line["route"]) for line in lines] == [
        ("request refused", 400, "/v2/models/{model}/infer"),
        ("request refused", 400, "/invocations"),
    ]
    assert "unknown input" in lines[0]["reason"]
    assert "Expected `int`, got `str` - at `$.instances[0].user`" in lines[1]["reason"]


def test_the_log_has_so_many_refusals_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    now = [10.0]
    told = log.RefusalLog(most=3, clock=lambda: now[0])
    for _ in range(8):
        told.say(400, "/invocations", "no")
    now[0] += 1
    told.say(400, "/invocations", "again")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["request refused"] * 3 + [
        "more requests refused",
        "request refused",
    ]
    assert lines[3]["count"] == 5


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"ECOMDEPLOY_LIMIT_ROWS": "0"}, "ECOMDEPLOY_LIMIT_ROWS='0' is not a whole number above 0"),
        ({"ECOMDEPLOY_LIMIT_ROWS": "-5"}, "not a whole number"),
        ({"ECOMDEPLOY_LIMIT_ROWS": "1e3"}, "not a whole number"),
        ({"ECOMDEPLOY_LIMIT_ROWS": "٣"}, "not a whole number"),
        ({"ECOMDEPLOY_LIMIT_ROW": "5"}, "ECOMDEPLOY_LIMIT_ROW is not known"),
    ],
)
def test_limits_of_the_environment_that_are_none(variables: dict[str, str], reason: str) -> None:
    with pytest.raises(ValueError, match="ECOMDEPLOY_LIMIT") as caught:
        Limits.read(variables)
    assert reason in str(caught.value)


def test_limits_of_the_environment() -> None:
    assert Limits.read({"ECOMDEPLOY_LIMIT_ROWS": "7", "PATH": "/bin"}) == Limits(rows=7)
