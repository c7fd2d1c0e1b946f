"""Chat in the model server: whole answers, streams, bounds, cancelling, metrics."""

from __future__ import annotations

import asyncio
import json
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import tiny_chat
from model_server import Process, launch
from tiny_chat import MINE, OTHER, OWNER
from tokenizers import Tokenizer
from waiting import SECONDS

from modelpack.server.app import Application
from modelpack.server.handlers.chat import orders
from modelpack.server.handlers.chat.conversation import Conversation
from modelpack.server.handlers.chat.handler import ChatHandler
from modelpack.server.handlers.chat.request import ChatInstance
from modelpack.server.handlers.chat.worker import AnswerWorker, ChatAnswer
from modelpack.server.http.asgi import Message
from modelpack.server.http.batch import Batcher
from modelpack.server.http.instances import Instances
from modelpack.server.http.metrics import Metrics
from modelpack.server.http.openinference import OpenInference
from modelpack.server.ready import ReadyModel
from modelpack.server.signature import ModelSignature

STATUS = {"question": f"What is the status of {MINE}?", **OWNER}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    root = tmp_path_factory.mktemp("chat") / "root"
    tiny_chat.tree(root)
    process = launch(root)
    try:
        process.wait_ready()
        yield process
    finally:
        process.end()


def ask(server: Process, *instances: dict[str, Any], **more: Any) -> httpx.Response:
    return httpx.post(
        f"{server.url}/invocations", json={"instances": list(instances), **more}, timeout=SECONDS
    )


def events(text: str) -> list[dict[str, Any]]:
    """Server-sent events, each one JSON object."""
    parts = text.split("\n\n")
    assert parts.pop() == ""
    assert all(part.startswith("data: ") and "\n" not in part for part in parts)
    return [json.loads(part.removeprefix("data: ")) for part in parts]


def test_whole_answers(server: Process) -> None:
    answer = ask(server, STATUS, {**STATUS, **OTHER}, {"question": "Sing about the moon"})
    assert answer.status_code == 200
    own, stranger, elsewhere = answer.json()["predictions"]
    assert own["route"] == "order"
    assert 0 < own["tokens"] <= tiny_chat.MOST_NEW
    assert stranger == {"answer": "Who are you?", "route": "identify", "tokens": 0}
    assert elsewhere == {"answer": "Only the shop.", "route": "refused", "tokens": 0}
    assert answer.headers["x-amzn-sagemaker-custom-attributes"].startswith("sha256:")
    assert ask(server, STATUS).json()["predictions"] == [own]


def test_a_stream_says_the_same(server: Process) -> None:
    whole = ask(server, STATUS).json()["predictions"][0]
    with httpx.stream(
        "POST", f"{server.url}/invocations", json={"instances": [STATUS], "stream": True}, timeout=SECONDS
    ) as streamed:
        assert streamed.headers["content-type"].startswith("text/event-stream")
        assert "content-length" not in streamed.headers
        assert streamed.headers["x-amzn-sagemaker-custom-attributes"].startswith("sha256:")
        found = events(streamed.read().decode())
    *pieces, last = found
    assert "".join(piece["piece"] for piece in pieces) == last["answer"] == whole["answer"]
    assert last["done"] is True
    assert last["route"] == "order"
    assert last["usage"]["completion_tokens"] == whole["tokens"]
    assert last["usage"]["prompt_tokens"] > 10


def test_shorter_answers(server: Process) -> None:
    assert ask(server, STATUS, max_tokens=3).json()["predictions"][0]["tokens"] == 3
    longest = ask(server, STATUS, max_tokens=10_000).json()["predictions"][0]["tokens"]
    assert longest <= tiny_chat.MOST_NEW


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"instances": [{"question": ""}]}, "length >= 1"),
        ({"instances": [{"question": "  "}]}, "empty"),
        ({"instances": [{"question": 3}]}, "Expected `str`"),
        ({"instances": [{"question": "x", "admin": True}]}, "unknown field `admin`"),
        ({"instances": []}, "length >= 1"),
        ({"instances": [STATUS] * 17}, "length <= 16"),
        ({"instances": [STATUS, STATUS], "stream": True}, "one instance"),
        ({"instances": [STATUS], "max_tokens": 0}, ">= 1"),
        ({"instances": [{"question": "kettle " * 80}]}, "tokens"),
        ({"instances": [{"question": "kettle " * 80}], "stream": True}, "tokens"),
        ({"instances": [{"question": "k" * 3000}]}, "length <= 2000"),
    ],
)
def test_bad_requests(server: Process, body: dict[str, Any], said: str) -> None:
    answer = httpx.post(f"{server.url}/invocations", json=body, timeout=SECONDS)
    assert (answer.status_code, said in answer.json()["error"]) == (400, True), answer.text


def test_open_inference(server: Process) -> None:
    inputs = [
        {"name": name, "shape": [1], "datatype": "BYTES", "data": [value]} for name, value in STATUS.items()
    ]
    answer = httpx.post(f"{server.url}/v2/models/chat/infer", json={"inputs": inputs}, timeout=SECONDS).json()
    outputs = {one["name"]: one["data"][0] for one in answer["outputs"]}
    assert outputs == ask(server, STATUS).json()["predictions"][0]


def test_tokens_are_counted(server: Process) -> None:
    def counted() -> dict[str, float]:
        lines = httpx.get(f"{server.url}/metrics").text.splitlines()
        return {line.split()[0]: float(line.split()[1]) for line in lines if "tokens_total{" in line}

    ask(server, STATUS)
    before = counted()
    written = ask(server, STATUS).json()["predictions"][0]["tokens"]
    after = counted()
    name = 'ecomdeploy_tokens_total{kind="answer"}'
    assert after[name] - before[name] == written
    assert after['ecomdeploy_tokens_total{kind="prompt"}'] > before['ecomdeploy_tokens_total{kind="prompt"}']


def handler(**files: str) -> dict[str, Any]:
    return {"handler": {"module": "modelpack.server.handlers.chat.handler", "files": files}}


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (
            {
                "golden": [
                    {"request": {"instances": [STATUS]}, "answer": {"predictions": [{"route": "shop"}]}}
                ]
            },
            "golden",
        ),
        (handler(knowledge="none.json"), "none.json"),
        (handler(orders="tokenizer.json"), "Expected `object`"),
        (handler(tokenizer="knowledge.json"), "not a tokenizer"),
        (handler(desk="knowledge.json"), "unknown field `desk`"),
        (
            {"handler": {"module": "modelpack.server.handlers.none"}},
            "No module named 'modelpack.server.handlers.none'",
        ),
        ({"handler": {"module": "json.tool"}}, "no attribute 'load'"),
    ],
)
def test_it_refuses_to_serve(tmp_path: pathlib.Path, broken: dict[str, Any], said: str) -> None:
    root = tmp_path / "root"
    tiny_chat.tree(root, **broken)
    process = launch(root)
    try:
        assert process.process.wait(SECONDS) == 3, process.output.read_text()
    finally:
        process.end()
    assert said in next(line["reason"] for line in process.lines() if line["event"] == "refused")


class Slow:
    """A model that says a letter of its sentence only when it is let; it would never end by itself."""

    def __init__(self) -> None:
        self.let = threading.Semaphore(0)
        self.said = 0
        self.stopped = threading.Event()

    def __call__(self, prompt: list[int], most: int | None) -> Iterator[int]:
        letters = Tokenizer.from_buffer(tiny_chat.tokenizer()).encode(f"The status of order {MINE} is").ids
        try:
            while True:
                assert self.let.acquire(timeout=SECONDS)
                self.said += 1
                yield letters[(self.said - 1) % len(letters)]
        finally:
            self.stopped.set()


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def talk(slow: Slow) -> Conversation:
    return Conversation(
        tiny_chat.KNOWLEDGE, orders.read(tiny_chat.orders()), tiny_chat.tokenizer(), slow, 300
    )


@pytest.fixture
def batcher(slow: Slow, talk: Conversation) -> Iterator[Batcher]:
    batcher = Batcher(talk, 1, lambda rows, seconds: None)
    yield batcher
    slow.let.release(1000)
    batcher.close()


@pytest.mark.parametrize("stream", [True, False])
def test_the_model_stops_when_the_caller_goes(
    slow: Slow, talk: Conversation, batcher: Batcher, stream: bool
) -> None:
    metrics = Metrics()
    application = Application(metrics)
    signature = ModelSignature(1, "chat", "onnxruntime", "model.onnx", (), ())
    respond = ChatHandler(talk).responder(batcher, metrics, None)
    application.serve(
        ReadyModel(signature, "sha256:00", Instances(()), OpenInference(signature), batcher, "cpu", respond)
    )
    sent: list[Message] = []
    body = json.dumps({"instances": [STATUS], "stream": stream}).encode()

    async def conversation() -> None:
        given, leaving = asyncio.Event(), asyncio.Event()

        async def receive() -> Message:
            if not given.is_set():
                given.set()
                return {"type": "http.request", "body": body, "more_body": False}
            await leaving.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/invocations", "headers": []}
        slow.let.release(3)
        answering = asyncio.create_task(application(scope, receive, send))
        while slow.said < 3:
            assert not answering.done(), sent
            await asyncio.sleep(0.001)
        leaving.set()
        await asyncio.sleep(0.01)
        slow.let.release(1)
        await asyncio.wait_for(answering, 30)

    asyncio.run(conversation())
    assert slow.stopped.wait(30)
    assert slow.said <= 4
    assert "ecomdeploy_cancelled_total 1" in metrics.text("chat", "", True).decode()
    assert bool(sent) == stream


def test_a_caller_who_went_before_its_turn_costs_nothing(
    slow: Slow, talk: Conversation, batcher: Batcher
) -> None:
    gone = threading.Event()
    gone.set()

    async def asked() -> list[str | ChatAnswer]:
        return [event async for event in AnswerWorker(talk, batcher).ask(ChatInstance(**STATUS), None, gone)]

    assert asyncio.run(asked()) == []
    assert slow.said == 0
