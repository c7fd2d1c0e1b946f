"""What the local cloud's HTTP server does where waitress alone would wait for ever: RFC 9110 section 10.1.1."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest

from infra.rehearsal.cloud.addresses import LOOPBACK
from infra.rehearsal.cloud.daemon.loopback import listen

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HEAD = "PUT /key HTTP/1.1\r\nHost: here\r\nConnection: close\r\nExpect: 100-continue\r\n"


@pytest.fixture
def port() -> Iterator[int]:
    """A server that tells how many bytes it was sent."""

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        length = len(environ["wsgi.input"].read())
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{length} bytes".encode()]

    server = listen(application)
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    yield server.effective_port
    server.close()


def say(port: int, *parts: bytes) -> bytes:
    """All that is answered to parts of which each but the first waits for "100 Continue"."""
    with socket.create_connection((LOOPBACK, port), timeout=60) as connection:
        connection.sendall(parts[0])
        for part in parts[1:]:
            assert connection.recv(len(CONTINUE)) == CONTINUE
            connection.sendall(part)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(
    ("length", "body"),
    [("Content-Length: 0", b""), ("Content-Length: 3", b"abc"), ("Transfer-Encoding: chunked", b"0\r\n\r\n")],
)
def test_who_has_sent_all_is_answered(port: int, length: str, body: bytes) -> None:
    answer = say(port, f"{HEAD}{length}\r\n\r\n".encode() + body).removeprefix(CONTINUE)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(f"{body.count(b'abc') * 3} bytes".encode())


def test_who_waits_is_told_to_go_on(port: int) -> None:
    assert say(port, f"{HEAD}Content-Length: 3\r\n\r\n".encode(), b"abc").endswith(b"3 bytes")
