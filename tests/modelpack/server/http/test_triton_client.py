"""Triton's own client of the Open Inference Protocol against the model server: JSON and binary, compressed too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from model_server import PRODUCTS, Process, expected, launch, tree
from served_echo import echo_tree
from tritonclient import http as triton
from tritonclient.utils import InferenceServerException

MODEL = "recommendation"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    root = tmp_path_factory.mktemp("served") / "root"
    root.mkdir()
    tree(root)
    process = launch(root)
    process.wait_ready()
    yield process
    process.end()


@pytest.fixture
def client(server: Process) -> Iterator[Any]:
    client = triton.InferenceServerClient(server.url.removeprefix("http://"))
    yield client
    client.close()


def asked(name: str, values: Any, binary: bool) -> Any:
    array = np.array(values, np.int64)
    made = triton.InferInput(name, array.shape, "INT64")
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def test_health_and_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert client.is_model_ready(MODEL, "1")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    assert client.get_model_metadata(MODEL)["inputs"][0]["name"] == "household"


@pytest.mark.parametrize("compressed", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("binary_in", [True, False])
def test_infer(client: Any, binary_in: bool, binary_out: bool, compressed: str | None) -> None:
    households, histories = [3, 4], [[5, 6, 0, 0], [1, 2, 3, 4]]
    inputs = [asked("household", households, binary_in), asked("history", histories, binary_in)]
    outputs = [triton.InferRequestedOutput(name, binary_data=binary_out) for name in ("scores", "products")]
    answer = client.infer(
        MODEL, inputs, outputs=outputs, request_id="r7", request_compression_algorithm=compressed
    )
    wanted = [expected(*pair) for pair in zip(households, histories, strict=True)]
    np.testing.assert_array_equal(answer.as_numpy("products"), [one["products"] for one in wanted])
    np.testing.assert_allclose(answer.as_numpy("scores"), [one["scores"] for one in wanted], rtol=1e-4)
    assert (answer.as_numpy("products").dtype, answer.as_numpy("scores").dtype) == (np.int64, np.float32)
    assert answer.get_response()["id"] == "r7"


def test_without_named_outputs_all_come_as_binary(client: Any) -> None:
    answer = client.infer(MODEL, [asked("household", [3], True)])
    described = answer.get_response()["outputs"]
    assert [one["parameters"]["binary_data_size"] > 0 for one in described] == [True, True]
    np.testing.assert_array_equal(answer.as_numpy("products"), [expected(3, [])["products"]])


def test_a_refusal_arrives_with_its_reason(client: Any) -> None:
    with pytest.raises(InferenceServerException) as caught:
        client.infer(MODEL, [asked("household", [PRODUCTS], True), asked("history", [[0] * 4] * 2, True)])
    assert "different numbers of rows" in caught.value.message()


TYPES = {
    "BOOL": np.array([[True, False], [False, True]]),
    "UINT8": np.array([[0, 255], [1, 2]], np.uint8),
    "INT32": np.array([[-(2**31), 2**31 - 1], [0, 1]], np.int32),
    "UINT64": np.array([[2**64 - 1, 0], [1, 2]], np.uint64),
    "FP16": np.array([[1.5, -0.25], [65504, 0]], np.float16),
    "FP32": np.array([[1.5, np.nan], [3e38, 0]], np.float32),
    "FP64": np.array([[1.5, np.nan], [1e300, 0]], np.float64),
    "BYTES": np.array([["blé", ""], ["a" * 3000, "\U0001f600"]], np.object_),
}


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    root = tmp_path_factory.mktemp("echo") / "root"
    root.mkdir()
    echo_tree(root, {f"x_{name.lower()}": name for name in TYPES}, 2)
    process = launch(root)
    process.wait_ready()
    yield process
    process.end()


@pytest.mark.parametrize("binary_out", [True, False])
def test_every_datatype_comes_and_goes(echo: Process, binary_out: bool) -> None:
    client = triton.InferenceServerClient(echo.url.removeprefix("http://"))
    inputs = []
    for name, array in TYPES.items():
        one = triton.InferInput(f"x_{name.lower()}", array.shape, name)
        one.set_data_from_numpy(array, binary_data=True)
        inputs.append(one)
    outputs = [
        triton.InferRequestedOutput(f"same_x_{name.lower()}", binary_data=binary_out) for name in TYPES
    ]
    answer = client.infer("echo", inputs, outputs=outputs)
    for name, array in TYPES.items():
        got = answer.as_numpy(f"same_x_{name.lower()}")
        if name == "BYTES":
            got = np.array(
                [[text.decode() if isinstance(text, bytes) else text for text in row] for row in got]
            )
            array = array.astype(str)
        elif not binary_out and name.startswith("FP"):
            # JSON has no NaN: null comes, which numpy reads as NaN
            got = got.astype(array.dtype)
        np.testing.assert_array_equal(got, array)
    client.close()
