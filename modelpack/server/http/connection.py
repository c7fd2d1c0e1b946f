"""uvicorn's HTTP connection with bounds: on the size of a request's headers, and on how long anything takes to come.

A connection that is slow holds a file descriptor, and one whose headers never end holds memory; uvicorn has no bound
for either (encode/uvicorn, discussion 2020).
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEADER_BYTES = 64 * 1024
TOO_LARGE = (431, b"Request Header Fields Too Large")
TOO_SLOW = (408, b"Request Timeout")


class BoundedConnection(HttpToolsProtocol):
    """One connection of a caller."""

    stalled: float = 10
    """Seconds for a request's headers, and for the rest of a body when its request was answered (refused mostly)."""
    _reading: asyncio.TimerHandle | None = None
    _header_bytes = 0
    _in_headers = False
    _in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect(self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        waiting = not self._in_body
        super().data_received(data)
        if waiting and self._in_headers and not self.transport.is_closing():
            self._header_bytes += len(data)
            if self._header_bytes > MOST_HEADER_BYTES:
                self._end(*TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_headers, self._header_bytes = True, 0
        self._expect(self.stalled)

    def on_headers_complete(self) -> None:
        self._in_headers, self._in_body = False, True
        self._expect(None)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        # where the answer went out before the whole request was there, nothing else waits for the next one
        self._expect(self.timeout_keep_alive if self.cycle.response_complete else None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._in_body:
            self._expect(self.stalled)

    def timeout_keep_alive_handler(self) -> None:
        # closing waits for what is not written yet: for ever, where the caller does not read it
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        super().timeout_keep_alive_handler()

    def _expect(self, seconds: float | None) -> None:
        """End the connection unless what comes next is there in time."""
        if self._reading is not None:
            self._reading.cancel()
        self._reading = None if seconds is None else self.loop.call_later(seconds, self._too_slow)

    def _too_slow(self) -> None:
        if self.transport.is_closing():
            return
        if self._in_headers:
            self._end(*TOO_SLOW)
        else:
            self.transport.abort()

    def _end(self, status: int, reason: bytes) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            # the answer to the request before is on its way
            self.transport.abort()
            return
        head = b"HTTP/1.1 %d %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % (status, reason)
        self.transport.write(head)
        self.transport.close()


def connection_class(stalled: float) -> type[BoundedConnection]:
    """The class of connections that wait so many seconds."""
    return type("Connection", (BoundedConnection,), {"stalled": stalled})
