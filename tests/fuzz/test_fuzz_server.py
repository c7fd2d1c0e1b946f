"""The model server under hostile requests: it answers all of them, none with 5xx, and stays as large as it was."""

from __future__ import annotations

import gzip
import io
import socket
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from fuzzed_server import TARGETS, Asked, Watch, as_json
from fuzzing import ENOUGH, SCALARS, VALUES, fuzz, mutated, seconds_each
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from model_server import Process, launch
from served_echo import ONNX, echo_tree
from waiting import SECONDS

INPUTS = {f"x_{kind.lower()}": kind for kind in ("FP32", "INT64", "BOOL", "BYTES", "UINT8")}
ROW: dict[str, Any] = {
    "x_fp32": [1.5, None],
    "x_int64": [1, 2.0],
    "x_bool": [True, False],
    "x_bytes": ["a", ""],
    "x_uint8": [0, 255],
}
INFER = "/v2/models/echo/infer"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    root = tmp_path_factory.mktemp("echo") / "root"
    root.mkdir()
    echo_tree(root, INPUTS, 2, max_batch=8)
    process = launch(root, {"ECOMDEPLOY_LIMIT_STALLED": "1"})
    process.wait_ready()
    yield process
    process.end()


ROWS = st.lists(
    st.one_of(
        st.just(ROW),
        st.fixed_dictionaries({}, optional={name: st.lists(SCALARS, max_size=3) for name in INPUTS}),
        st.dictionaries(st.sampled_from([*INPUTS, "x"]), VALUES, max_size=5),
        VALUES,
    ),
    max_size=12,
)


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


DTYPES = ("f4", "f8", "i8", "u1", "?", "c8", "U2", "S2")
NPY = st.sampled_from(DTYPES).flatmap(
    lambda kind: arrays.arrays(np.dtype(kind), st.lists(st.integers(0, 10), max_size=3).map(tuple)).map(npy)
)
CELLS = st.one_of(
    st.sampled_from(["1", "2.0", "", "nan", "true", "a", '"', "1e999", "-"]), st.text(max_size=4)
)
CSV = st.lists(st.lists(CELLS, max_size=12).map(",".join), max_size=6).map(
    lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass")
)
BODIES: dict[str, st.SearchStrategy[bytes]] = {
    "application/json": ROWS.map(lambda rows: as_json({"instances": rows})) | VALUES.map(as_json),
    "application/jsonlines": ROWS.map(lambda rows: b"\n".join(map(as_json, rows))),
    "text/csv": CSV,
    "application/x-npy": NPY,
}
ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda body: body,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda body: body,
}


@st.composite
def invocations(draw: st.DrawFn) -> Asked:
    """A body of one of the content types, whole or damaged, compressed or not, and an answer asked for."""
    kind = draw(st.sampled_from(sorted(BODIES)))
    body = draw(st.one_of(BODIES[kind], mutated(BODIES[kind]), st.binary(max_size=200)))
    encoding = draw(st.sampled_from(["", "", "", *ENCODINGS]))
    packed = ENCODINGS[encoding](body)
    headers = {
        "Content-Type": draw(st.sampled_from([kind, kind, kind, "", "text/html", *BODIES])),
        "Content-Encoding": encoding,
        "Accept": draw(st.sampled_from(["*/*", *BODIES, "text/*;q=0.5, a/b", "q=", "*/*;q=0", ",;,"])),
    }
    packed = draw(st.one_of(st.just(packed), mutated(st.just(packed)))) if encoding else packed
    return packed, {name: value for name, value in headers.items() if value}


SIZES = st.one_of(st.integers(0, 12), st.sampled_from([-1, 10**4, 10**6, 10**12, 2**31, 2**63, 2**64]))
PARAMETERS = st.dictionaries(
    st.sampled_from(["binary_data_size", "binary_data", "binary_data_output", "x"]),
    st.one_of(st.integers(-1, 64), st.booleans(), VALUES),
    max_size=2,
)


@st.composite
def tensors(draw: st.DrawFn, name: str, rows: int) -> dict[str, Any]:
    """An input: right, nearly right, or anything."""
    made: dict[str, Any] = {
        "name": name,
        "shape": [rows, 2],
        "datatype": INPUTS[name],
        "data": ROW[name] * rows,
    }
    for key, other in (
        ("name", st.one_of(st.sampled_from([*INPUTS, "same_x_fp32"]), st.text(max_size=5))),
        ("shape", st.lists(SIZES, max_size=4) | VALUES),
        ("datatype", st.sampled_from(sorted(ONNX)) | st.text(max_size=5)),
        (
            "data",
            st.lists(SCALARS, max_size=9) | st.lists(st.lists(SCALARS, max_size=3), max_size=4) | VALUES,
        ),
    ):
        if draw(st.integers(0, 40)) == 0:
            made[key] = draw(other)
    if draw(st.integers(0, 30)) == 0:
        made["parameters"] = draw(PARAMETERS | VALUES)
    if draw(st.integers(0, 40)) == 0:
        del made["data"]
    return made


@st.composite
def inference(draw: st.DrawFn) -> Asked:
    """A request of the Open Inference Protocol, with or without binary tensors behind it."""
    rows = draw(st.integers(1, 4))
    names = draw(st.one_of(st.just(sorted(INPUTS)), st.lists(st.sampled_from(sorted(INPUTS)), max_size=6)))
    document: dict[str, Any] = {"inputs": [draw(tensors(name, rows)) for name in names]}
    for key, value in (
        ("id", st.text(max_size=5) | VALUES),
        ("parameters", PARAMETERS | VALUES),
        (
            "outputs",
            st.lists(
                st.fixed_dictionaries(
                    {"name": st.sampled_from(["same_x_fp32", "same_x_bytes", "y"])},
                    optional={"parameters": PARAMETERS},
                ),
                max_size=3,
            )
            | VALUES,
        ),
    ):
        if draw(st.integers(0, 3)) == 0:
            document[key] = draw(value)
    text = as_json(document)
    if draw(st.integers(0, 2)) == 0:
        text = draw(mutated(st.just(text)))
    raw = draw(st.binary(max_size=64)) if draw(st.integers(0, 3)) == 0 else b""
    length = draw(st.one_of(st.just(str(len(text))), SIZES.map(str))) if raw else ""
    headers = {"Content-Type": "application/octet-stream" if raw else "application/json"}
    return text + raw, {**headers, "Inference-Header-Content-Length": length} if length else headers


def test_invocations(server: Process) -> None:
    watch = Watch(server)
    seen: set[int] = set()

    def ask(asked: Asked) -> None:
        seen.add(watch.post("/invocations", *asked)[0])

    count = fuzz(invocations(), ask, seconds_each(TARGETS), watch.memory)
    print(f"{count:,} requests, answered with {sorted(seen)}")
    assert count < ENOUGH or {200, 400, 415} <= seen, "what is asked is neither all bad nor all good"


def test_inference(server: Process) -> None:
    watch = Watch(server)
    seen: set[int] = set()

    def ask(asked: Asked) -> None:
        seen.add(watch.post(INFER, *asked)[0])

    count = fuzz(inference(), ask, seconds_each(TARGETS), watch.memory)
    print(f"{count:,} requests, answered with {sorted(seen)}")
    assert count < ENOUGH or {200, 400} <= seen, "what is asked is neither all bad nor all good"


GOOD = as_json({"instances": [ROW]})
WIRE = st.sampled_from(
    [
        b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(GOOD), GOOD),
        b"POST /invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
        % (len(GOOD), GOOD),
        b"POST /invocations HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
        b"GET /v2/models/echo HTTP/1.1\r\nHost: x\r\n\r\nGET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
        b"OPTIONS * HTTP/1.0\r\n\r\n",
    ]
)


def test_wire(server: Process) -> None:
    """Bytes that are hardly HTTP: the server goes on, and answers no 5xx."""
    watch = Watch(server)

    def send(data: bytes) -> None:
        before = watch.spent()
        with socket.create_connection(("127.0.0.1", watch.port), timeout=SECONDS) as caller:
            answer = b""
            try:
                caller.sendall(data)
                caller.shutdown(socket.SHUT_WR)
                while piece := caller.recv(65536):
                    answer += piece
            except ConnectionError:
                pass
        assert b"HTTP/1.1 5" not in answer, answer[:300]
        watch.check(before)

    count = fuzz(mutated(WIRE), send, seconds_each(TARGETS), watch.memory)
    assert watch.post("/invocations", GOOD, {})[0] == 200
    print(f"{count:,} connections")


def test_nothing_of_it_was_a_fault_of_the_server(server: Process) -> None:
    assert [line for line in server.lines() if line["event"] == "request failed"] == []
