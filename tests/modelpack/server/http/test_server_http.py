"""The model server over HTTP: both protocols, bad input, metrics, many callers at once."""

from __future__ import annotations

import json
import pathlib
import random
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_server import PRODUCTS, TOP, Process, expected, launch, tree
from waiting import SECONDS

from modelpack.server.golden import compare

CLOSE = {"scores": {"kind": "close", "rtol": 1e-4, "atol": 1e-5}}
INFER = "/v2/models/recommendation/infer"
RECENT: list[dict[str, Any]] = [{"household": 3, "history": [5, 6]}, {"household": 4}]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    root = tmp_path_factory.mktemp("served") / "root"
    root.mkdir()
    content_digest = tree(root)
    process = launch(root)
    process.wait_ready()
    process.content_digest = content_digest  # type: ignore[attr-defined]
    yield process
    process.end()


@pytest.fixture(scope="module")
def client(server: Process) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=SECONDS) as client:
        yield client


def same(instance: dict[str, Any], prediction: dict[str, Any]) -> bool:
    want = expected(instance["household"], instance.get("history", []))
    return compare({"predictions": [want]}, {"predictions": [prediction]}, CLOSE) == ()


def test_invocations(server: Process, client: httpx.Client) -> None:
    answer = client.post("/invocations", json={"instances": RECENT})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Amzn-SageMaker-Custom-Attributes"] == server.content_digest  # type: ignore[attr-defined]
    assert [same(one, said) for one, said in zip(RECENT, answer.json()["predictions"], strict=True)] == [
        True,
        True,
    ]


def test_more_rows_than_a_batch_holds(client: httpx.Client) -> None:
    instances = [{"household": number % PRODUCTS, "history": [number % 7]} for number in range(37)]
    predictions = client.post("/invocations", json={"instances": instances}).json()["predictions"]
    assert all(same(*pair) for pair in zip(instances, predictions, strict=True))


def test_the_last_entries_of_a_long_history_count(client: httpx.Client) -> None:
    long = {"household": 1, "history": [9, 9, 9, 1, 2, 3, 4]}
    short = {"household": 1, "history": [1, 2, 3, 4]}
    one, other = client.post("/invocations", json={"instances": [long, short]}).json()["predictions"]
    assert one == other
    assert same(short, one)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"instances": [{"household": 1}', "not JSON"),
        (b"[]", "Expected `object`"),
        (b"{}", "missing required field `instances`"),
        (b'{"instances": []}', "length >= 1 - at `$.instances`"),
        (b'{"instances": [{}]}', "missing required field `household` - at `$.instances[0]`"),
        (b'{"instances": [{"household": "1"}]}', "Expected `int`, got `str` - at `$.instances[0].household`"),
        (b'{"instances": [{"household": 1.5}]}', "'household' is INT64, and in row 0 1.5 is no whole number"),
        (b'{"instances": [{"household": true}]}', "got `bool` - at `$.instances[0].household`"),
        (b'{"instances": [{"household": null}]}', "got `null` - at `$.instances[0].household`"),
        (b'{"instances": [{"household": 99999999999999999999}]}', "$.instances[0].household"),
        (b'{"instances": [{"household": 1, "history": 7}]}', "got `int` - at `$.instances[0].history`"),
        (b'{"instances": [{"household": 1, "history": [1, "x"]}]}', "at `$.instances[0].history[1]`"),
        (
            b'{"instances": [{"household": 1, "histori": [1]}]}',
            "unknown field `histori` - at `$.instances[0]`",
        ),
        (b'{"instances": [{"household": 1}, {"household": 1000}]}', "out of data bounds"),
    ],
)
def test_bad_bodies_of_invocations(client: httpx.Client, body: bytes, reason: str) -> None:
    answer = client.post("/invocations", content=body)
    assert answer.status_code == 400, answer.text
    assert reason in answer.json()["error"]


def tensor(name: str, data: Any, shape: list[int], datatype: str = "INT64") -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


@pytest.mark.parametrize(
    "data", [[5, 6, 0, 0, 1, 2, 3, 4], [[5, 6, 0, 0], [1, 2, 3, 4]]], ids=["flat", "nested"]
)
def test_infer(server: Process, client: httpx.Client, data: Any) -> None:
    inputs = [tensor("household", [3, 4], [2]), tensor("history", data, [2, 4])]
    answer = client.post(INFER, json={"id": "a1", "inputs": inputs})
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Amzn-SageMaker-Custom-Attributes"] == server.content_digest  # type: ignore[attr-defined]
    got = answer.json()
    assert (got["id"], got["model_name"], got["model_version"]) == ("a1", "recommendation", "1")
    outputs = {output["name"]: output for output in got["outputs"]}
    assert outputs["products"]["shape"] == [2, TOP]
    assert (outputs["products"]["datatype"], outputs["scores"]["datatype"]) == ("INT64", "FP32")
    wanted = expected(3, [5, 6])["products"] + expected(4, [1, 2, 3, 4])["products"]
    assert outputs["products"]["data"] == wanted


def test_infer_pads_and_fills_in_defaults(client: httpx.Client) -> None:
    padded = [tensor("household", [3], [1]), tensor("history", [5, 6], [1, 2])]
    only = {"outputs": [{"name": "products"}]}
    answer = client.post(INFER, json={"inputs": padded, **only}).json()
    assert [output["name"] for output in answer["outputs"]] == ["products"]
    assert answer["outputs"][0]["data"] == expected(3, [5, 6])["products"]
    bare = client.post(INFER, json={"inputs": [tensor("household", [3], [1])], **only}).json()
    assert bare["outputs"][0]["data"] == expected(3, [])["products"]


HOUSEHOLD = tensor("household", [1], [1])


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({}, "missing required field `inputs`"),
        ({"inputs": []}, "no inputs"),
        ({"inputs": [tensor("history", [[1]], [1, 1])]}, "'household' is missing"),
        ({"inputs": [tensor("house", [1], [1])]}, "unknown input 'house'"),
        ({"inputs": [HOUSEHOLD, HOUSEHOLD]}, "'household' is given twice"),
        ({"inputs": [tensor("household", [1.0], [1], "FP32")]}, "datatype must be INT64, not FP32"),
        (
            {"inputs": [tensor("household", [1.5], [1])]},
            "'household' is INT64, and in row 0 1.5 is no whole number",
        ),
        ({"inputs": [tensor("household", [True], [1])]}, "Expected `int`, got `bool` - at `data[0]`"),
        ({"inputs": [tensor("household", [1], [2])]}, "needs 2 values, data has 1"),
        ({"inputs": [tensor("household", [1], [1, 1])]}, "'household': shape [1, 1] does not fit [-1]"),
        ({"inputs": [tensor("household", [1], [-1])]}, "does not fit"),
        ({"inputs": [tensor("household", [], [0])]}, "no rows"),
        ({"inputs": [tensor("household", [2**70], [1])]}, "'household'"),
        ({"inputs": [HOUSEHOLD, tensor("history", [1, 2], [2, 1])]}, "different numbers of rows"),
        ({"inputs": [HOUSEHOLD], "outputs": [{"name": "price"}]}, "unknown output 'price'"),
    ],
)
def test_bad_bodies_of_infer(client: httpx.Client, document: dict[str, Any], reason: str) -> None:
    answer = client.post(INFER, json=document)
    assert answer.status_code == 400, answer.text
    assert reason in answer.json()["error"]


@pytest.mark.parametrize("depth", [2, 500, 900, 5_000, 100_000])
def test_deep_nesting(client: httpx.Client, depth: int) -> None:
    nested = b"[" * depth + b"1" + b"]" * depth
    body = b'{"inputs": [{"name": "household", "shape": [1], "datatype": "INT64", "data": ' + nested + b"}]}"
    answer = client.post(INFER, content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ping", 200),
        ("/v2", 200),
        ("/v2/health/live", 200),
        ("/v2/health/ready", 200),
        ("/v2/models/recommendation", 200),
        ("/v2/models/recommendation/ready", 200),
        ("/v2/models/recommendation/versions/1", 200),
        ("/v2/models/recommendation/versions/1/ready", 200),
        ("/v2/models/recommendation/versions/2", 404),
        ("/v2/models/other", 404),
        ("/v2/models/other/ready", 404),
        ("/v2/models/recommendation/x/y", 404),
        ("/v2/models/", 404),
        ("/favicon.ico", 404),
        ("/invocations", 405),
        ("/v2/models/recommendation/infer", 405),
    ],
)
def test_get(client: httpx.Client, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    if status >= 400:
        assert answer.json()["error"]


def test_infer_on_a_version_and_on_an_unknown_model(client: httpx.Client) -> None:
    assert (
        client.post("/v2/models/recommendation/versions/1/infer", json={"inputs": [HOUSEHOLD]}).status_code
        == 200
    )
    answer = client.post("/v2/models/other/infer", json={"inputs": [HOUSEHOLD]})
    assert (answer.status_code, "unknown model 'other'" in answer.json()["error"]) == (404, True)


def test_metadata(server: Process, client: httpx.Client) -> None:
    got = client.get("/v2/models/recommendation").json()
    assert got["versions"] == ["1"]
    assert got["parameters"] == {
        "content_digest": server.content_digest,  # type: ignore[attr-defined]
        "hardware": "cpu",
        "extra_fields": False,
    }
    assert got["inputs"][1] == {"name": "history", "datatype": "INT64", "shape": [-1, 4]}


def test_wrong_content_type(client: httpx.Client) -> None:
    answer = client.post("/invocations", content=b"3,5,6", headers={"Content-Type": "text/html"})
    assert (answer.status_code, "application/json" in answer.json()["error"]) == (415, True)


def test_body_too_large_is_refused_before_it_is_read(server: Process) -> None:
    port = int(server.url.rpartition(":")[2])
    for framing in (b"Content-Length: 99999999\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as raw:
            raw.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\n" + framing)
            if b"chunked" in framing:
                piece = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
                for _ in range(26):
                    raw.sendall(piece)
            assert b" 413 " in raw.makefile("rb").readline()


def test_one_bad_value_does_not_fail_its_neighbours(client: httpx.Client) -> None:
    """Requests that share a model call with one the model refuses are answered all the same."""
    bodies = [
        {"instances": [{"household": 1000 if number % 10 == 0 else number % 40}]} for number in range(200)
    ]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda body: client.post("/invocations", json=body), bodies))
    for body, answer in zip(bodies, answers, strict=True):
        bad = body["instances"][0]["household"] == 1000
        assert answer.status_code == (400 if bad else 200)
        assert bad or same(body["instances"][0], answer.json()["predictions"][0])


INSTANCE = st.fixed_dictionaries(
    {"household": st.integers(0, PRODUCTS - 1)},
    optional={"history": st.lists(st.integers(0, PRODUCTS - 1), max_size=7)},
)


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    requests=st.lists(st.lists(INSTANCE, min_size=1, max_size=11), min_size=2, max_size=40),
    seed=st.integers(0, 99),
)
def test_answers_of_parallel_callers_are_never_mixed_up(
    server: Process, requests: list[list[dict[str, Any]]], seed: int
) -> None:
    rng = random.Random(seed)
    as_infer = [rng.random() < 0.3 for _ in requests]
    with httpx.Client(base_url=server.url, timeout=SECONDS) as client, ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda pair: ask(client, *pair), zip(requests, as_infer, strict=True)))
    for instances, products in zip(requests, answers, strict=True):
        assert products == [
            expected(item["household"], item.get("history", []))["products"] for item in instances
        ]


def ask(client: httpx.Client, instances: list[dict[str, Any]], infer: bool) -> list[list[int]]:
    if not infer:
        predictions = client.post("/invocations", json={"instances": instances}).json()["predictions"]
        return [prediction["products"] for prediction in predictions]
    histories = [(item.get("history", [])[-4:] + [0] * 4)[:4] for item in instances]
    rows = len(instances)
    inputs = [
        tensor("household", [item["household"] for item in instances], [rows]),
        tensor("history", histories, [rows, 4]),
    ]
    data = client.post(INFER, json={"inputs": inputs}).json()["outputs"][0]["data"]
    return [data[start : start + TOP] for start in range(0, rows * TOP, TOP)]


def test_metrics(client: httpx.Client) -> None:
    before = samples(client)
    client.post("/invocations", json={"instances": RECENT})
    client.post("/invocations", json={"instances": []})
    client.get("/nowhere/" + "x" * 50)
    after = samples(client)

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0)

    assert grown('ecomdeploy_requests_total{route="/invocations",code="200"}') == 1
    assert grown('ecomdeploy_requests_total{route="/invocations",code="400"}') == 1
    assert grown('ecomdeploy_requests_total{route="other",code="404"}') == 1
    assert grown('ecomdeploy_request_seconds_count{route="/invocations"}') == 2
    assert grown("ecomdeploy_batch_rows_sum{}") == 2
    assert grown("ecomdeploy_model_seconds_count{}") == 1
    assert after["ecomdeploy_ready"] == 1


def samples(client: httpx.Client) -> dict[str, float]:
    """The page as an independent parser reads it."""
    from prometheus_client.parser import text_string_to_metric_families

    text = client.get("/metrics").text
    families = list(text_string_to_metric_families(text))
    assert {"ecomdeploy_requests", "ecomdeploy_request_seconds", "ecomdeploy_info"} <= {
        item.name for item in families
    }
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if not line.startswith("#")
    }


def test_many_rounds_leave_the_server_in_health(server: Process, client: httpx.Client) -> None:
    for _ in range(50):
        client.post("/invocations", json={"instances": RECENT})
    assert client.get("/ping").status_code == 200
    assert [line for line in server.lines() if line["event"] == "request failed"] == []
    assert json.dumps(server.lines()).count('"ready"') == 1


def test_fixture_model_is_the_one_computed_beside_it(tmp_path: pathlib.Path) -> None:
    assert expected(3, [5, 6])["products"] != expected(4, [5, 6])["products"]
