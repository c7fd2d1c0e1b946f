"""Connections to a model server, by threads and by an event loop: whatever comes back, or not, over a real socket."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from waiting import SECONDS

from infra.rehearsal.cloud.servers.async_connections import AsyncServerConnections
from infra.rehearsal.cloud.servers.connections import ServerConnections, TooLate, Unreachable

GOOD = b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nX-Two: a\r\nContent-Length: 2\r\n\r\nok"
FIRST, REST = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", b"2\r\nbc\r\n0\r\n\r\n"
CHUNKED = FIRST + REST


@dataclass
class Scripted:
    """Each connection's answers, one a request; None: it is closed."""

    script: list[list[bytes | None]]
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    asked: list[bytes] = field(default_factory=list)
    made: int = 0
    left: threading.Event = field(default_factory=threading.Event)
    """The caller has closed a connection."""

    def run(self) -> None:
        for answers in self.script:
            connection, _ = self.listener.accept()
            with connection:
                connection.settimeout(SECONDS)
                for answer in answers:
                    if answer is None:
                        break
                    self.asked.append(read_request(connection))
                    connection.sendall(answer)
                else:
                    # until the caller goes
                    connection.recv(1)
                    self.left.set()

    def connect(self) -> socket.socket:
        self.made += 1
        return socket.create_connection(self.listener.getsockname(), SECONDS)


def read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    length = int(data.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(data.partition(b"\r\n\r\n")[2]) < length:
        data += connection.recv(65536)
    return data


@dataclass
class Whole:
    """An answer, all of it there."""

    status: int
    headers: dict[str, str]
    body: bytes

    def read(self) -> bytes:
        return self.body


@dataclass
class OnLoop:
    """An event loop's connections, asked as those of threads are."""

    connect: Callable[[], socket.socket]
    seconds: float = SECONDS
    runner: asyncio.Runner = field(default_factory=asyncio.Runner)

    def __post_init__(self) -> None:
        self.connections = AsyncServerConnections(self.connect, self.seconds)

    def post(self, path: str, headers: dict[str, str], body: bytes) -> Whole:
        return Whole(*self.runner.run(self.connections.post(path, headers, body)))

    def close(self) -> None:
        async def close() -> None:
            self.connections.close()

        self.runner.run(close())
        self.runner.close()


Kind = type[ServerConnections] | type[OnLoop]


@pytest.fixture(params=[ServerConnections, OnLoop], ids=["threads", "event loop"])
def kind(request: pytest.FixtureRequest) -> Kind:
    made: Kind = request.param
    return made


@contextmanager
def served(
    *script: list[bytes | None], kind: Kind = ServerConnections
) -> Iterator[tuple[Scripted, ServerConnections | OnLoop]]:
    server = Scripted(list(script))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    connections = kind(server.connect, SECONDS)
    try:
        yield server, connections
    finally:
        connections.close()
        server.listener.close()
        thread.join(SECONDS)


def test_a_whole_answer_and_what_was_asked(kind: Kind) -> None:
    with served([GOOD], kind=kind) as (server, connections):
        answer = connections.post("/invocations", {"Accept": "text/csv"}, b"body")
        assert (answer.status, answer.headers["content-type"], answer.headers["x-two"]) == (
            200,
            "text/csv",
            "a",
        )
        assert answer.read() == b"ok"
        head, _, body = server.asked[0].partition(b"\r\n\r\n")
        assert head.startswith(b"POST /invocations HTTP/1.1\r\nhost: ")
        assert b"\r\nAccept: text/csv\r\n" in head
        assert body == b"body"


def test_a_large_body(kind: Kind) -> None:
    with served([GOOD], kind=kind) as (server, connections):
        assert connections.post("/", {}, b"x" * 3_000_000).read() == b"ok"
        assert server.asked[0].endswith(b"x" * 3_000_000)


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (CHUNKED, b"abc"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 1\r\n\r\nx", b"x"),
    ],
)
def test_the_connection_is_used_again(sent: bytes, body: bytes, kind: Kind) -> None:
    with served([sent, GOOD], kind=kind) as (server, connections):
        assert connections.post("/", {}, b"").read() == body
        assert connections.post("/", {}, b"").read() == b"ok"
        assert server.made == 1


@pytest.mark.parametrize(
    "sent",
    [GOOD.replace(b"X-Two: a", b"Connection: close"), b"HTTP/1.1 200 OK\r\n\r\nok"],
)
def test_the_connection_is_not_used_again(sent: bytes, kind: Kind) -> None:
    """Where the server says so, or where its end is the answer's."""
    with served([sent, None], [GOOD], kind=kind) as (server, connections):
        assert connections.post("/", {}, b"").read() == b"ok"
        assert connections.post("/", {}, b"").read() == b"ok"
        assert server.made == 2


def test_one_that_was_closed_while_it_was_idle_is_replaced(kind: Kind) -> None:
    with served([GOOD, None], [GOOD], kind=kind) as (server, connections):
        assert connections.post("/", {}, b"").read() == b"ok"
        assert connections.post("/", {}, b"again").read() == b"ok"
        assert server.made == 2


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-", b"SSH-2.0-OpenSSH\r\n", GOOD[:-1]])
def test_no_answer_or_half_of_one(sent: bytes, kind: Kind) -> None:
    with served([sent, None], kind=kind) as (_, connections), pytest.raises(Unreachable):
        connections.post("/", {}, b"").read()


def test_nobody_listens(kind: Kind) -> None:
    def refuse() -> socket.socket:
        raise ConnectionRefusedError("no")

    with pytest.raises(Unreachable):
        kind(refuse).post("/", {}, b"")


@pytest.mark.parametrize("sent", [b"", GOOD[:-1]])
def test_too_late(sent: bytes, kind: Kind) -> None:
    with served([sent], kind=kind) as (server, _):
        hasty = kind(server.connect, 0.05)
        with pytest.raises(TooLate):
            hasty.post("/", {}, b"").read()


def test_parts_come_as_they_are_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connect: Callable[[], socket.socket] = lambda: socket.create_connection(listener.getsockname())  # noqa: E731
        connections = ServerConnections(connect, SECONDS)
        sides: list[socket.socket] = []

        def answer() -> None:
            sides.append(listener.accept()[0])
            read_request(sides[0])
            sides[0].sendall(FIRST)

        thread = threading.Thread(target=answer)
        thread.start()
        answered = connections.post("/", {}, b"")
        thread.join(SECONDS)
        parts = answered.parts()
        assert next(parts) == b"a"
        sides[0].sendall(REST)
        assert list(parts) == [b"bc"]
        answered.close()
        connections.close()
        sides[0].close()


def test_a_stream_that_breaks() -> None:
    with served([FIRST + REST[:4], None]) as (_, connections):
        parts = connections.post("/", {}, b"").parts()
        assert next(parts) == b"a"
        with pytest.raises(Unreachable):
            list(parts)


def test_a_header_is_one_line(kind: Kind) -> None:
    with pytest.raises(ValueError, match="one line"):
        kind(lambda: pytest.fail("nobody is asked")).post("/", {"Accept": "a\r\nX: b"}, b"")


def test_after_its_end_nothing_is_kept() -> None:
    with served([GOOD]) as (server, connections):
        answer = connections.post("/", {}, b"")
        connections.close()
        assert answer.read() == b"ok"
        assert server.left.wait(SECONDS)
