"""ASGI requests, read within their limits (method, content type, size and time of the body), and what answers them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelpack.server.http.admission import Share
from modelpack.server.http.aside import aside
from modelpack.server.http.encodings import check_encoding, decompress
from modelpack.server.http.limits import Limits
from modelpack.server.http.refusal import Headers, Refusal

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON = b"application/json"
CLOSE = (b"connection", b"close")


class Disconnected(Exception):
    """The caller went away before it was answered."""


@dataclass(slots=True)
class Response:
    """One answer: its `body` at once, or the `stream`'s pieces, each sent as it comes."""

    status: int
    body: bytes = b""
    content_type: bytes = JSON
    headers: Headers = field(default_factory=list)
    stream: AsyncIterator[bytes] | None = None


class Request:
    """One request; the body is read on demand. What it holds is in `share` while it is in work; by `deadline`, on the
    loop's clock, it must be answered."""

    __slots__ = ("_receive", "_scope", "deadline", "limits", "method", "path", "share")

    def __init__(self, scope: Message, receive: Receive, limits: Limits) -> None:
        self._scope = scope
        self._receive = receive
        self.limits = limits
        self.deadline = asyncio.get_running_loop().time() + limits.seconds
        self.share: Share | None = None
        self.method: str = scope["method"]
        self.path: str = scope["path"]

    def allow(self, *methods: str) -> None:
        """Raises `Refusal` (405) for any other method."""
        if self.method not in methods:
            allowed = ", ".join(methods)
            raise Refusal(
                405, f"{self.method} is not allowed here ({allowed} is)", [(b"allow", allowed.encode())]
            )

    def header(self, wanted: bytes) -> bytes:
        """A header's value by its lower-case name, "" when it is not there."""
        return next((bytes(value) for name, value in self._scope["headers"] if name == wanted), b"")

    def content_type(self, known: Sequence[bytes]) -> bytes:
        """What the body says it is, JSON when it says nothing. Raises `Refusal` (415) for what is not `known`."""
        kind = self.header(b"content-type").partition(b";")[0].strip().lower()
        if kind in (b"", b"*/*"):
            return JSON
        if kind not in known:
            names = b", ".join(known).decode()
            raise Refusal(415, f"content type {kind.decode('latin-1')!r} is not known; send {names}")
        return kind

    async def json(self) -> bytes:
        """The body of a POST that says it is JSON. Raises as `body` does."""
        return (await self.body((JSON,)))[1]

    async def body(self, known: Sequence[bytes]) -> tuple[bytes, bytes]:
        """The content type and the decompressed body of a POST. Raises `Refusal` (400, 405, 408, 413, 415, 429) or
        `Disconnected`."""
        self.allow("POST")
        kind = self.content_type(known)
        encoding = check_encoding(self.header(b"content-encoding"))
        announced = self.header(b"content-length")
        if announced.isdigit() and (len(announced) > 15 or int(announced) > self.limits.body):
            raise self._too_large()
        body = await self._read()
        if encoding:
            size = len(body)
            # a few kilobytes may become as many as a body may have
            body = await aside(self.limits.body, decompress, encoding, body, self.limits.body)
            self.hold(max(0, len(body) - size))
        return kind, body

    def hold(self, size: int) -> None:
        """So many more bytes are held for this request. Raises `Refusal` (429)."""
        if self.share is not None:
            self.share.hold(size)

    async def await_disconnect(self) -> None:
        """Returns when the caller has gone. Only after the body was read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _read(self) -> bytes:
        pieces: list[bytes] = []
        size = 0
        more = True
        while more:
            piece, more = await self._piece()
            pieces.append(piece)
            size += len(piece)
            if size > self.limits.body:
                raise self._too_large()
            self.hold(len(piece))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _piece(self) -> tuple[bytes, bool]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(min(self.deadline, loop.time() + self.limits.stalled)):
                message = await self._receive()
        except TimeoutError:
            raise Refusal(408, "the body came too slowly", [CLOSE]) from None
        if message["type"] == "http.disconnect":
            raise Disconnected
        return bytes(message.get("body", b"")), bool(message.get("more_body"))

    def _too_large(self) -> Refusal:
        return Refusal(413, f"the body has more than {self.limits.body} bytes")
