"""InvokeEndpointWithResponseStream by boto3: framing, what breaks, and callers who go."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
import tiny_chat
from botocore.config import Config
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import ClientError, EventStreamError
from hypothesis import given
from hypothesis import strategies as st
from model_server import launch
from tiny_chat import MINE, OWNER

from infra.rehearsal.cloud.addresses import ACCESS_KEY, REGION
from infra.rehearsal.cloud.aws.sagemaker_runtime.invocations import Invocations, WeightedServer
from infra.rehearsal.cloud.aws.sagemaker_runtime.streaming import message
from infra.rehearsal.cloud.aws.signatures import Signatures
from infra.rehearsal.cloud.daemon.app import AwsApi
from infra.rehearsal.cloud.daemon.loopback import listen
from infra.rehearsal.cloud.servers.host import ModelServer
from infra.targets.sagemaker import invoke
from modelpack.errors import EcomdeployError

ASKED = {"instances": [{"question": f"What is the status of {MINE}?", **OWNER}], "stream": True}
KEY = (REGION, "shop")


@pytest.fixture(scope="module")
def runtime() -> Invocations:
    return Invocations()


@pytest.fixture(scope="module")
def client(runtime: Invocations) -> Iterator[Any]:
    ready = threading.Event()
    ready.set()
    nothing: Any = None
    server = listen(AwsApi(nothing, runtime, nothing, ready, Signatures("test", lambda key: None), nothing))
    threading.Thread(target=server.run, daemon=True).start()
    yield boto3.client(
        "sagemaker-runtime",
        endpoint_url=f"http://127.0.0.1:{server.effective_port}",
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key="test",
        config=Config(retries={"max_attempts": 0}),
    )
    server.close()


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a model server that converses."""
    root = tmp_path_factory.mktemp("chat") / "root"
    tiny_chat.tree(root)
    process = launch(root)
    try:
        process.wait_ready()
        yield int(process.url.rpartition(":")[2])
    finally:
        process.end()


def served(runtime: Invocations, port: int) -> ModelServer:
    """Send the endpoint's requests to a port."""
    server = ModelServer(
        id=f"on-{port}", port=port, pid=1, isolation="fake", image="shop", digest="sha256:00"
    )
    runtime.flip(KEY, (WeightedServer(variant="main", weight=1.0, server=server),))
    return server


def stream(client: Any, body: dict[str, Any]) -> Any:
    return client.invoke_endpoint_with_response_stream(
        EndpointName="shop", Body=json.dumps(body).encode(), ContentType="application/json"
    )


def test_an_answer_as_it_comes(runtime: Invocations, client: Any, chat: int) -> None:
    server = served(runtime, chat)
    answer = stream(client, ASKED)
    assert answer["ContentType"].startswith("text/event-stream")
    assert answer["InvokedProductionVariant"] == "main"
    assert answer["CustomAttributes"].startswith("sha256:")
    parts = [event["PayloadPart"]["Bytes"] for event in answer["Body"]]
    # what random weights write is not in the facts: the sentence is told in its place, then the end
    assert len(parts) > 1
    told = [json.loads(line.removeprefix(b"data: ")) for line in b"".join(parts).split(b"\n\n") if line]
    assert told[-1]["done"] is True
    assert "".join(one["piece"] for one in told[:-1]) == told[-1]["answer"]
    whole = client.invoke_endpoint(
        EndpointName="shop", Body=json.dumps({**ASKED, "stream": False}), ContentType="application/json"
    )
    assert json.loads(whole["Body"].read())["predictions"][0]["answer"] == told[-1]["answer"]
    assert runtime.drain(server, 10)


def test_an_answer_that_is_no_stream_comes_in_one_part(runtime: Invocations, client: Any, chat: int) -> None:
    served(runtime, chat)
    answer = stream(client, {**ASKED, "stream": False})
    (part,) = [event["PayloadPart"]["Bytes"] for event in answer["Body"]]
    assert json.loads(part)["predictions"][0]["route"] == "order"


def test_a_refusal_of_the_model(runtime: Invocations, client: Any, chat: int) -> None:
    served(runtime, chat)
    with pytest.raises(ClientError) as caught:
        stream(client, {"instances": [{"question": ""}], "stream": True})
    assert caught.value.response["Error"]["Code"] == "ModelError"
    assert caught.value.response["OriginalStatusCode"] == 400
    assert "length >= 1" in caught.value.response["OriginalMessage"]


def test_the_target_streams(runtime: Invocations, client: Any, chat: int) -> None:
    """What `predict` uses: parts, and errors in plain words."""

    def parts(body: dict[str, Any], endpoint: str = "shop") -> list[bytes]:
        return list(invoke.stream(client, endpoint, json.dumps(body).encode(), "application/json"))

    served(runtime, chat)
    assert b'"done":true' in parts(ASKED)[-1]
    with pytest.raises(EcomdeployError, match=r"the endpoint answered 400: .*length >= 1"):
        parts({"instances": [{"question": ""}], "stream": True})
    with pytest.raises(EcomdeployError, match="not found"):
        parts(ASKED, "other")
    slow = Slow()
    served(runtime, slow.port)
    coming = invoke.stream(client, "shop", json.dumps(ASKED).encode(), "application/json")
    assert next(coming) == b"hello"
    slow.end()
    with pytest.raises(EcomdeployError, match="the answer broke off"):
        next(coming)


def test_no_such_endpoint(client: Any) -> None:
    with pytest.raises(ClientError, match="not found") as caught:
        client.invoke_endpoint_with_response_stream(EndpointName="other", Body=b"{}")
    assert caught.value.response["Error"]["Code"] == "ValidationError"


class Slow:
    """A model server that sends one part of its answer, and then nothing until `end`, which breaks the connection."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self.left = threading.Event()
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _ = self.listener.accept()
        self._connections.append(connection)
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        while connection.recv(65536):
            pass
        self.left.set()

    def end(self) -> None:
        self.listener.close()
        for connection in self._connections:
            connection.shutdown(socket.SHUT_RDWR)


def test_a_stream_that_breaks(runtime: Invocations, client: Any) -> None:
    slow = Slow()
    server = served(runtime, slow.port)
    body = iter(stream(client, ASKED)["Body"])
    assert next(body)["PayloadPart"]["Bytes"] == b"hello"
    slow.end()
    with pytest.raises(EventStreamError, match="ModelStreamError") as caught:
        next(body)
    assert "The model stream broke" in caught.value.response["Error"]["Message"]
    assert runtime.drain(server, 10)


def test_a_server_is_busy_until_its_stream_has_ended(runtime: Invocations, client: Any) -> None:
    slow = Slow()
    server = served(runtime, slow.port)
    body = iter(stream(client, ASKED)["Body"])
    next(body)
    assert not runtime.drain(server, 0.05)
    slow.end()


@given(
    st.binary(max_size=300),
    st.dictionaries(st.from_regex(r":[a-z-]{1,20}", fullmatch=True), st.text(max_size=20)),
)
def test_framing(payload: bytes, headers: dict[str, str]) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(message(headers, payload) * 2)
    first, second = buffer
    assert first.payload == second.payload == payload
    wanted = {**headers, ":content-type": "application/octet-stream"}
    assert {name: str(value) for name, value in first.headers.items()} == wanted
