"""Callers who are slow, send headers without end or never read: they lose their connection, and nobody else notices."""

from __future__ import annotations

import json
import pathlib
import socket
from collections.abc import Iterator

import httpx
import pytest
from model_server import Process, launch, tree
from waiting import SECONDS

BODY = json.dumps({"instances": [{"household": 3, "history": [5, 6]}]}).encode()
POST = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(BODY)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """It waits a second for what is slow."""
    root = tmp_path_factory.mktemp("served") / "root"
    root.mkdir()
    tree(root)
    process = launch(root, {"ECOMDEPLOY_LIMIT_STALLED": "1"})
    process.wait_ready()
    yield process
    process.end()


@pytest.fixture
def caller(server: Process) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=SECONDS) as made:
        yield made


def rest(caller: socket.socket) -> bytes:
    """All that comes until the server ends the connection."""
    pieces = []
    while True:
        try:
            piece = caller.recv(65536)
        except ConnectionError:
            break
        if not piece:
            break
        pieces.append(piece)
    return b"".join(pieces)


@pytest.mark.parametrize("begun", [b"G", b"POST /invocations HTTP/1.1\r\nHost: x\r\n", POST])
def test_headers_that_do_not_end_are_ended(server: Process, caller: socket.socket, begun: bytes) -> None:
    caller.sendall(begun)
    assert b" 408 " in rest(caller).splitlines()[0]
    assert httpx.get(f"{server.url}/ping").status_code == 200


def test_a_body_that_does_not_come_is_ended(server: Process, caller: socket.socket) -> None:
    caller.sendall(POST + b"\r\n" + BODY[:10])
    answer = rest(caller)
    assert b" 408 " in answer.splitlines()[0]
    assert b"the body came too slowly" in answer
    assert {"status": 408, "route": "/invocations", "reason": "the body came too slowly"}.items() <= next(
        line for line in server.lines() if line["event"] == "request refused" and line["status"] == 408
    ).items()


@pytest.mark.parametrize("path", [b"/nowhere", b"/ping", b"/invocations"])
def test_the_rest_of_a_refused_body_is_not_waited_for(caller: socket.socket, path: bytes) -> None:
    """Refused before its body was there, and the body never ends."""
    caller.sendall(
        b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\nContent-Length: 9999\r\n\r\nab" % path
    )
    assert rest(caller).splitlines()[0].split()[1] in (b"404", b"405", b"415")


def test_headers_larger_than_memory_for_them_are_refused(server: Process, caller: socket.socket) -> None:
    caller.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n")
    answer = b""
    try:
        for number in range(4000):
            caller.sendall(b"X-%d: %b\r\n" % (number, b"a" * 1000))
    except ConnectionError:
        answer = b"reset"
    answer = rest(caller) or answer
    assert b" 431 " in answer or answer == b"reset"
    assert httpx.get(f"{server.url}/ping").status_code == 200


def test_slow_connections_keep_nobody_waiting(server: Process) -> None:
    port = int(server.url.rpartition(":")[2])
    slow = [socket.create_connection(("127.0.0.1", port), timeout=SECONDS) for _ in range(200)]
    for number, one in enumerate(slow):
        one.sendall((POST + b"\r\n" + BODY[:5]) if number % 2 else b"GET /pi")
    for _ in range(20):
        assert httpx.get(f"{server.url}/ping").status_code == 200
        assert httpx.post(f"{server.url}/invocations", content=BODY).status_code == 200
    for one in slow:
        assert b" 408 " in rest(one)
        one.close()


def test_a_slow_caller_that_goes_on_is_served(caller: socket.socket) -> None:
    """A piece of the body now and then, each in time."""
    caller.sendall(POST + b"\r\n")
    for place in range(0, len(BODY), 9):
        caller.sendall(BODY[place : place + 9])
    reader = caller.makefile("rb")
    assert b" 200 " in reader.readline()


def test_the_next_request_of_a_connection_has_its_own_time(caller: socket.socket) -> None:
    whole = POST + b"\r\n" + BODY
    reader = caller.makefile("rb")
    for _ in range(3):
        caller.sendall(whole)
        assert b" 200 " in reader.readline()
        length = 0
        while (line := reader.readline()) != b"\r\n":
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        reader.read(length)
    caller.sendall(b"GET /pi")
    assert b" 408 " in reader.readline()


@pytest.mark.parametrize("variables", [{"ECOMDEPLOY_LIMIT_ROWS": "many"}, {"ECOMDEPLOY_LIMIT_NONE": "1"}])
def test_limits_that_are_none_are_refused(tmp_path: pathlib.Path, variables: dict[str, str]) -> None:
    root = tmp_path / "root"
    root.mkdir()
    tree(root)
    process = launch(root, variables)
    assert process.process.wait(SECONDS) == 2
    assert "ECOMDEPLOY_LIMIT" in process.lines()[-1]["reason"]
