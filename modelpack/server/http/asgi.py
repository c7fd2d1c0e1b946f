"""ASGI requests, read within their limits (method, content type, size of the body), and what answers them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from modelpack.server.http.refusal import Refusal

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

LARGEST_BODY = 25 * 1024 * 1024
"""Bytes of a request body; more gets 413."""
JSON_TYPES = (b"", b"application/json", b"*/*")


class Disconnected(Exception):
    """The caller went away before its body was read."""


@dataclass(slots=True)
class Response:
    """One answer: its `body` at once, or the `stream`'s pieces, each sent as it comes."""

    status: int
    body: bytes = b""
    content_type: bytes = b"application/json"
    headers: Headers = field(default_factory=list)
    stream: AsyncIterator[bytes] | None = None


class Request:
    """One request; the body is read on demand."""

    __slots__ = ("_receive", "_scope", "method", "path")

    def __init__(self, scope: Message, receive: Receive) -> None:
        self._scope = scope
        self._receive = receive
        self.method: str = scope["method"]
        self.path: str = scope["path"]

    def allow(self, *methods: str) -> None:
        """Raises `Refusal` (405) for any other method."""
        if self.method not in methods:
            raise Refusal(405, f"{self.method} is not allowed here ({', '.join(methods)} is)")

    def header(self, wanted: bytes) -> bytes:
        """A header's value by its lower-case name, "" when it is not there."""
        return next((bytes(value) for name, value in self._scope["headers"] if name == wanted), b"")

    async def json(self) -> bytes:
        """The body of a POST that says it is JSON. Raises `Refusal` (405, 413, 415) or `Disconnected`."""
        self.allow("POST")
        kind = self.header(b"content-type").partition(b";")[0].strip().lower()
        if kind not in JSON_TYPES:
            raise Refusal(415, f"content type {kind.decode('latin-1')!r} is not known; send application/json")
        announced = self.header(b"content-length")
        if announced.isdigit() and int(announced) > LARGEST_BODY:
            raise _too_large()
        first, more = await self._piece()
        if not more:
            return first
        pieces, size = [first], len(first)
        while more:
            piece, more = await self._piece()
            pieces.append(piece)
            size += len(piece)
            if size > LARGEST_BODY:
                raise _too_large()
        return b"".join(pieces)

    async def gone(self) -> None:
        """Returns when the caller has gone. Only after the body was read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _piece(self) -> tuple[bytes, bool]:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        return bytes(message.get("body", b"")), bool(message.get("more_body"))


def _too_large() -> Refusal:
    return Refusal(413, f"the body has more than {LARGEST_BODY} bytes")
