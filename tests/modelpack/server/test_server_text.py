"""The model server with text going in and labels coming out: both protocols, shared calls, bad input, bad files."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import model_server
import numpy as np
import pytest
import tiny_text
from model_server import Process, launch
from waiting import SECONDS

from modelpack.server import text
from modelpack.server.engines import load as runtimes
from modelpack.server.signature import Unfit, read_signature
from modelpack.server.text import Tokenizer

INFER = "/v2/models/search/infer"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    root = tmp_path_factory.mktemp("served") / "root"
    root.mkdir()
    tiny_text.tree(root)
    process = launch(root)
    process.wait_ready()
    yield process
    process.end()


@pytest.fixture(scope="module")
def client(server: Process) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=SECONDS) as client:
        yield client


def ask(client: httpx.Client, *queries: Any) -> httpx.Response:
    return client.post("/invocations", json={"instances": [{"query": query} for query in queries]})


def best(answer: httpx.Response) -> list[str]:
    return [row["products"][0] for row in answer.json()["predictions"]]


def test_a_text_gets_product_codes_and_scores(client: httpx.Client) -> None:
    answer = ask(client, "a blue  MUG")
    assert answer.status_code == 200
    assert answer.json() == {"predictions": [{"products": ["22197", "85123A"], "scores": [2.0, 0.0]}]}


def test_texts_of_different_length_share_a_call(client: httpx.Client) -> None:
    answer = ask(client, "candle", "box for lunch in red or blue", "mug")
    assert best(answer) == ["84997C", "21080", "22197"]


def test_many_callers_each_get_their_own(client: httpx.Client) -> None:
    queries = ["red bag", "blue mug please", "heart candle", "a lunch box for my lunch"] * 8
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda query: best(ask(client, query))[0], queries))
    assert answers == list(tiny_text.CODES) * 8


def test_open_inference_protocol(client: httpx.Client) -> None:
    inputs = [{"name": "query", "shape": [2], "datatype": "BYTES", "data": ["heart", "red"]}]
    answer = client.post(INFER, json={"inputs": inputs})
    products, scores = answer.json()["outputs"]
    assert (products["datatype"], products["shape"]) == ("BYTES", [2, 2])
    assert products["data"][::2] == ["84997C", "85123A"]
    assert scores["data"][::2] == [1.0, 1.0]
    described = client.get("/v2/models/search").json()
    assert described["inputs"] == [{"name": "query", "datatype": "BYTES", "shape": [-1]}]
    assert described["outputs"][0] == {"name": "products", "datatype": "BYTES", "shape": [-1, 2]}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"instances": [{"query": 7}]}, "Expected `str`, got `int` - at `$.instances[0].query`"),
        ({"instances": [{"query": None}]}, "Expected `str`"),
        ({"instances": [{"query": ["red"]}]}, "Expected `str`, got `array`"),
        ({"instances": [{}]}, "missing required field `query`"),
        ({"instances": [{"query": "  "}]}, "'query' is empty"),
        ({"instances": [{"query": ""}]}, "'query' is empty"),
        ({"instances": [{"input_ids": [2, 4, 3]}]}, "unknown field `input_ids`"),
    ],
)
def test_bad_input_is_400_with_the_reason(client: httpx.Client, body: dict[str, Any], reason: str) -> None:
    answer = client.post("/invocations", json=body)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]


def test_an_empty_text_fails_its_caller_alone(client: httpx.Client) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda query: ask(client, query).status_code, ["red bag", ""] * 16))
    assert answers == [200, 400] * 16


@pytest.mark.parametrize(
    "query", ["red " * 300_000, "x" * 1_000_000, "\u0000red", "🛍️ red", "\ufeffred\n\tbag"]
)
def test_any_text_is_answered(client: httpx.Client, query: str) -> None:
    answer = ask(client, query)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["predictions"][0]["products"]) == 2


def test_tokens_are_padded_to_the_longest_and_cut() -> None:
    tokenizer = Tokenizer(tiny_text.tokenizer(longest=128), 4)
    ids, mask = tokenizer(["red", "blue mug heart candle"])
    assert ids.tolist() == [[2, 4, 3, 0], [2, 5, 7, 3]]
    assert mask.tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert tokenizer(["red"])[0].tolist() == [[2, 4, 3]], "nothing is padded beyond what came"


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("tokenizer.json", b'{"version": "1.0"}', "tokenizer.json: not a tokenizer"),
        ("products.json", b'["85123A", 7]', "products.json: Expected `str`"),
        ("tokenizer.json", None, "tokenizer.json: "),
        ("products.json", None, "products.json: "),
    ],
)
def test_a_damaged_companion_must_not_serve(
    tmp_path: pathlib.Path, file: str, content: bytes | None, reason: str
) -> None:
    tiny_text.tree(tmp_path)
    folder = tmp_path / "opt/ecomdeploy/model"
    (folder / file).unlink() if content is None else (folder / file).write_bytes(content)
    signature = read_signature(folder / "serving.json")
    with pytest.raises(Unfit, match=reason):
        text.wrap(signature, folder, runtimes.load(signature, folder))


def test_another_tokenizer_than_packed_ends_the_server(tmp_path: pathlib.Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    tiny_text.tree(root)
    changed = root / "opt/ecomdeploy/model/tokenizer.json"
    changed.write_bytes(changed.read_bytes().replace(b'"red":4', b'"red":5'))
    process = launch(root)
    assert process.process.wait(SECONDS) == 3
    reasons = [line["reason"] for line in process.lines() if line["event"] == "refused"]
    assert len(reasons) == 1
    assert "tokenizer.json (changed)" in reasons[0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"inputs": [{"name": "query", "datatype": "INT64", "shape": [-1]}]}, "must be a BYTES input"),
        ({"inputs": [{"name": "words", "datatype": "BYTES", "shape": [-1]}]}, "must be a BYTES input"),
        ({"labels": {"scores": "products.json"}}, "are no BYTES outputs"),
    ],
)
def test_a_signature_that_contradicts_itself(
    tmp_path: pathlib.Path, change: dict[str, Any], reason: str
) -> None:
    path = tmp_path / "serving.json"
    path.write_text(json.dumps(tiny_text.serving(**change)))
    with pytest.raises(Unfit, match=reason):
        read_signature(path)


def test_a_model_without_words_is_not_touched(tmp_path: pathlib.Path) -> None:
    model_server.tree(tmp_path)
    folder = tmp_path / "opt/ecomdeploy/model"
    signature = read_signature(folder / "serving.json")
    runtime = runtimes.load(signature, folder)
    assert text.wrap(signature, folder, runtime) is runtime


def test_labels_keep_the_shape() -> None:
    def run(feeds: dict[str, Any]) -> dict[str, Any]:
        return {"products": np.array([[3, 0], [1, 1]])}

    model = text.TextModel(run, None, None, {"products": np.array(tiny_text.CODES, dtype=np.object_)})
    assert model.run({})["products"].tolist() == [["21080", "85123A"], ["22197", "22197"]]
