"""Kept HTTP connections to one model server: a request out, its answer back, whole or as it comes.

Smaller than a general client, which spends more on the headers of an answer than the model server on the answer.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httptools

SECONDS = 60.0
"""A model has 60 s for an answer (API_runtime_InvokeEndpoint)."""
MOST_KEPT = 32
PIECE = 64 * 1024
TOGETHER = 64 * 1024
"""Bytes of a body that goes out with the headers."""


class Unreachable(Exception):
    """The server cannot be connected to, or ended without an answer."""


class TooLate(Exception):
    """It did not answer in time."""


class ServerAnswer:
    """What comes back. `headers` by their names in lower case; `read` and `parts` once, and one of the two."""

    def __init__(self, connections: ServerConnections, connection: socket.socket) -> None:
        self._connections, self._connection = connections, connection
        self._parser: Any = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._complete = self._keeps = False
        self.status = 0
        self.headers: dict[str, str] = {}

    # ---- what the parser tells ----

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        if self.status >= 200:
            self._complete, self._keeps = True, self._parser.should_keep_alive()
        else:
            # on the way to an answer (RFC 9110, 15.2)
            self.status = 0
            self.headers.clear()

    # ---- reading ----

    def begin(self) -> None:
        """Until its headers are there. Raises `Unreachable`, `TooLate`."""
        while not self.status:
            self._receive()

    def read(self) -> bytes:
        """The whole body. Raises as `begin`."""
        try:
            while not self._complete:
                self._receive()
        finally:
            self.close()
        return b"".join(self._pieces)

    def parts(self) -> Iterator[bytes]:
        """The body as it comes. Raises as `begin`."""
        while True:
            pieces, self._pieces = self._pieces, []
            yield from pieces
            if self._complete:
                return
            self._receive()

    def close(self) -> None:
        """The connection is kept where the answer is whole; at any other time it ends."""
        # it holds this answer's methods, and nobody should have to find that circle
        self._parser = None
        if self._keeps:
            self._connections.keep(self._connection)
        else:
            self._connection.close()

    def _receive(self) -> None:
        try:
            data = self._connection.recv(PIECE)
            if data:
                self._parser.feed_data(data)
        except TimeoutError:
            raise TooLate(f"nothing came within {self._connection.gettimeout():g} s") from None
        except (OSError, httptools.HttpParserError) as error:
            raise Unreachable(str(error)) from None
        if data:
            return
        if not self.status or {"content-length", "transfer-encoding"} & set(self.headers):
            raise Unreachable("the connection ended before the answer did")
        self._complete = True


def write_head(path: str, headers: Mapping[str, str], length: int) -> bytes:
    """What leads a POST whose body has so many bytes. Raises ValueError for a header of more than a line."""
    if any(mark in value for value in headers.values() for mark in "\r\n\0"):
        raise ValueError("a header is one line")
    lines = [f"POST {path} HTTP/1.1", "host: model"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, f"content-length: {length}", "", ""]).encode("latin-1")


class ServerConnections:
    """Thread-safe. `connect` makes a new connection; raises OSError. `seconds`: for each part of an answer."""

    def __init__(self, connect: Callable[[], socket.socket], seconds: float = SECONDS) -> None:
        self._connect, self._seconds = connect, seconds
        self._kept: deque[socket.socket] = deque()
        self._ended = False

    def post(self, path: str, headers: Mapping[str, str], body: bytes) -> ServerAnswer:
        """The answer, its body not read yet. Raises `Unreachable`, `TooLate`."""
        head = write_head(path, headers, len(body))
        try:
            kept = self._kept.pop()
        except IndexError:
            return self._ask(self._new(), head, body)
        try:
            return self._ask(kept, head, body)
        except Unreachable:
            # the server may have closed it while it was idle; a fresh one tells whether it lives
            return self._ask(self._new(), head, body)

    def keep(self, connection: socket.socket) -> None:
        """For a later request."""
        if self._ended or len(self._kept) >= MOST_KEPT:
            connection.close()
        else:
            self._kept.append(connection)

    def close(self) -> None:
        """End those that are idle, and the others once they are."""
        self._ended = True
        while self._kept:
            self._kept.pop().close()

    def _new(self) -> socket.socket:
        try:
            made = self._connect()
        except OSError as error:
            raise Unreachable(str(error)) from None
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.settimeout(self._seconds)
        return made

    def _ask(self, connection: socket.socket, head: bytes, body: bytes) -> ServerAnswer:
        answer = ServerAnswer(self, connection)
        try:
            if len(body) < TOGETHER:
                connection.sendall(head + body)
            else:
                connection.sendall(head)
                connection.sendall(body)
            answer.begin()
        except (Unreachable, TooLate):
            answer.close()
            raise
        except OSError as error:
            answer.close()
            raise Unreachable(str(error)) from None
        return answer
