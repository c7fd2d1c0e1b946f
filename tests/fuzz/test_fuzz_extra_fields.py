"""Fields that are no input, under hostile requests: each row's own code sees what its caller sent, or it is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fuzzed_server import TARGETS, Asked, Watch, as_json
from fuzzing import ENOUGH, VALUES, fuzz, mutated, seconds_each
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from model_server import Process, launch
from served_echo import echo_tree

NAMES = st.sampled_from(["coupon", "more", "said", "same_x", "instances", "$", "", "ü"]) | st.text(max_size=4)
FIELDS = st.dictionaries(NAMES.filter(lambda name: name != "x"), VALUES, max_size=4)
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    root = tmp_path_factory.mktemp("echo") / "root"
    root.mkdir()
    echo_tree(root, {"x": "INT64"}, 1, extra_fields=True, max_batch=8)
    process = launch(root, {"ECOMDEPLOY_LIMIT_STALLED": "1"})
    process.wait_ready()
    yield process
    process.end()


@st.composite
def instances(draw: st.DrawFn) -> tuple[Rows | None, Asked]:
    """Rows with fields beside the input, and the body that says so; damaged, it is known of no row what is right."""
    rows = draw(st.lists(FIELDS, min_size=1, max_size=5))
    asked = [{"x": [number], **fields} for number, fields in enumerate(rows)]
    lines = draw(st.booleans())
    body = b"\n".join(map(as_json, asked)) if lines else as_json({"instances": asked})
    headers = {
        "Content-Type": "application/jsonlines" if lines else "application/json",
        "Accept": "application/json",
    }
    if draw(st.integers(0, 3)) == 0:
        return None, (draw(mutated(st.just(body))), headers)
    return rows, (body, headers)


KINDS = {"INT64": "i8", "INT8": "i1", "UINT16": "u2", "UINT64": "u8", "FP16": "f2", "FP64": "f8", "BOOL": "?"}


@st.composite
def tensors(draw: st.DrawFn) -> tuple[Rows | None, Asked]:
    """Tensors beside the input, in JSON or binary, and what each row has of them."""
    rows = draw(st.integers(1, 4))
    told: list[dict[str, Any]] = [{"name": "x", "datatype": "INT64", "shape": [rows, 1], "data": [0] * rows}]
    given: dict[str, Any] = {}
    raw = b""
    for name in draw(st.lists(NAMES.filter(lambda name: name != "x"), unique=True, max_size=4)):
        kind = draw(st.sampled_from(sorted(KINDS)))
        shape = (rows, *draw(st.lists(st.integers(1, 3), max_size=3)))
        values = draw(arrays.arrays(np.dtype(KINDS[kind]), shape))
        given[name] = values
        one: dict[str, Any] = {"name": name, "datatype": kind, "shape": list(shape)}
        if draw(st.booleans()):
            raw += values.astype(values.dtype.newbyteorder("<")).tobytes()
            told.append({**one, "parameters": {"binary_data_size": values.nbytes}})
        else:
            told.append({**one, "data": (values if draw(st.booleans()) else values.ravel()).tolist()})
    text = as_json({"inputs": told})
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(text))}
    if draw(st.integers(0, 3)) == 0:
        return None, (draw(mutated(st.just(text + raw))), headers)
    return [{name: values[row].tolist() for name, values in given.items()} for row in range(rows)], (
        text + raw,
        headers,
    )


def check(server: Process, path: str, made: st.SearchStrategy[tuple[Rows | None, Asked]]) -> None:
    """Whatever is answered holds each row's own fields as they were sent, and no other row's."""
    watch = Watch(server)
    seen: set[int] = set()

    def ask(one: tuple[Rows | None, Asked]) -> None:
        rows, asked = one
        status, body = watch.post(path, *asked)
        seen.add(status)
        if status != 200 or rows is None:
            return
        document = json.loads(body)
        said = (
            [prediction["said"] for prediction in document["predictions"]]
            if "predictions" in document
            else next(output["data"] for output in document["outputs"] if output["name"] == "said")
        )
        assert [json.loads(text) for text in said] == rows

    count = fuzz(made, ask, seconds_each(TARGETS), watch.memory)
    print(f"{count:,} requests, answered with {sorted(seen)}")
    assert count < ENOUGH or {200, 400} <= seen, "what is asked is neither all bad nor all good"


def test_fields_of_instances(server: Process) -> None:
    check(server, "/invocations", instances())


def test_tensors_beside_the_input(server: Process) -> None:
    check(server, "/v2/models/echo/infer", tensors())


def test_that_they_are_taken_is_told(server: Process) -> None:
    told = json.loads(Watch(server).get("/v2/models/echo"))
    assert told["parameters"]["extra_fields"] is True
    assert [one["name"] for one in told["inputs"]] == ["x"], "they have no names of their own"


def test_nothing_of_it_was_a_fault_of_the_server(server: Process) -> None:
    assert [line for line in server.lines() if line["event"] == "request failed"] == []
