"""Kept HTTP connections to one model server on an event loop: as `connections.py` in threads, for whole answers.

All of it is called in the loop's thread but for making a connection, which may wait.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import httptools

from infra.rehearsal.cloud.servers.connections import SECONDS, TooLate, Unreachable, write_head

MOST_KEPT = 64


class AsyncServerConnection(asyncio.Protocol):
    """One request at a time; its answer settles `answered` with status, headers by their names in lower case, and
    body."""

    def __init__(self, ended: Callable[[AsyncServerConnection], None], seconds: float) -> None:
        self._ended, self._seconds = ended, seconds
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._parser: Any = None
        self._status = 0
        self._pieces: list[bytes] = []
        self._headers: dict[str, str] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.answered: asyncio.Future[tuple[int, dict[str, str], bytes]] | None = None

    def ask(self, head: bytes, body: bytes) -> asyncio.Future[tuple[int, dict[str, str], bytes]]:
        """Send a request; the answer fails with `Unreachable` or `TooLate`."""
        answered = self.answered = self._loop.create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._status, self._pieces, self._headers = 0, [], {}
        self._timer = self._loop.call_later(self._seconds, self._give_up)
        if self._transport is None or self._transport.is_closing():
            self._fail(Unreachable("the connection has ended"))
        else:
            self._transport.write(head + body)
        return answered

    def close(self) -> None:
        """End it."""
        if self._transport is not None:
            self._transport.abort()

    # ---- what the loop tells ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            self.close()  # nobody asked for it
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(Unreachable(str(error)))

    def eof_received(self) -> bool:
        if self.answered is not None and self._parser is not None and self._pieces_end_with_connection():
            self._settle(keeps=False)
        return False

    def connection_lost(self, problem: Exception | None) -> None:
        self._fail(Unreachable("the connection ended before the answer did"))
        self._ended(self)

    # ---- what the parser tells ----

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        if self._status < 200:
            self._status = 0
            self._headers.clear()  # on the way to an answer (RFC 9110, 15.2)
        else:
            self._settle(keeps=self._parser.should_keep_alive())

    def _pieces_end_with_connection(self) -> bool:
        """An answer without a length ends where the connection does (RFC 9112, 6.3)."""
        return self._status >= 200 and not {"content-length", "transfer-encoding"} & set(self._headers)

    def _settle(self, keeps: bool) -> None:
        answered = self.answered
        self._forget()
        if answered is not None and not answered.done():
            answered.set_result((self._status, self._headers, b"".join(self._pieces)))
        if not keeps:
            self.close()

    def _give_up(self) -> None:
        self._fail(TooLate(f"nothing came within {self._seconds:g} s"))

    def _fail(self, why: Exception) -> None:
        answered = self.answered
        self._forget()
        if answered is not None and not answered.done():
            answered.set_exception(why)
        self.close()

    def _forget(self) -> None:
        # the parser holds this connection's methods, and nobody should have to find that circle
        self._parser = self.answered = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class AsyncServerConnections:
    """To one server. `connect` makes a connection and may wait; raises OSError. `seconds`: for an answer."""

    def __init__(self, connect: Callable[[], socket.socket], seconds: float = SECONDS) -> None:
        self._connect, self._seconds = connect, seconds
        self._kept: deque[AsyncServerConnection] = deque()
        self._closed = False

    async def post(
        self, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers by their names in lower case, and body. Raises `Unreachable`, `TooLate`."""
        head = write_head(path, headers, len(body))
        while self._kept:
            connection = self._kept.pop()
            try:
                answer = await connection.ask(head, body)
            except Unreachable:
                continue  # the server may have closed it while it was idle; a fresh one tells whether it lives
            self._keep(connection)
            return answer
        connection = await self._new()
        answer = await connection.ask(head, body)
        self._keep(connection)
        return answer

    def close(self) -> None:
        """End those that are idle, and the others once they are."""
        self._closed = True
        while self._kept:
            self._kept.pop().close()

    def _keep(self, connection: AsyncServerConnection) -> None:
        if self._closed or len(self._kept) >= MOST_KEPT:
            connection.close()
        else:
            self._kept.append(connection)

    def _forget(self, connection: AsyncServerConnection) -> None:
        if connection in self._kept:
            self._kept.remove(connection)

    async def _new(self) -> AsyncServerConnection:
        loop = asyncio.get_running_loop()
        try:
            made = await loop.run_in_executor(None, self._connect)
        except OSError as error:
            raise Unreachable(str(error)) from None
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _, connection = await loop.create_connection(
            lambda: AsyncServerConnection(self._forget, self._seconds), sock=made
        )
        return connection
