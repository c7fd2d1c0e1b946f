"""InvokeEndpoint on an event loop: no thread a request, and no more work than a plain one takes.

It is given the connections whose first words ask for an invocation. What is not a plain, signed invocation of the
owner's (another path, another key, a body in chunks, a cloud that is not ready) goes back to the WSGI server with all
that was read, and is answered there: so there is one place that refuses.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httptools
import uvloop

from infra.rehearsal.cloud.aws.calls import HttpResponse
from infra.rehearsal.cloud.aws.sagemaker_runtime.invocations import (
    TOO_LATE,
    InvocationRequest,
    Invocations,
    ServerReply,
    pass_on_headers,
)
from infra.rehearsal.cloud.aws.sagemaker_runtime.signed_head import OwnersSignatures
from infra.rehearsal.cloud.daemon.callers import LOCAL
from infra.rehearsal.cloud.daemon.loopback import LoopbackServer
from infra.rehearsal.cloud.servers.async_connections import AsyncServerConnections
from infra.rehearsal.cloud.servers.connections import TooLate, Unreachable
from infra.rehearsal.cloud.servers.host import ModelServer

FIRST_WORDS = re.compile(rb"POST /endpoints/[A-Za-z0-9-]+/invocations HTTP/1\.1\r\n")
PATH = re.compile(r"/endpoints/([A-Za-z0-9-]+)/invocations")
ELSEWHERE = frozenset({"origin", "expect", "transfer-encoding", "upgrade"})
"""Headers of requests that are answered elsewhere."""
IDLE_SECONDS = 60
SWEEP_SECONDS = 10
MOST_CALLERS = 500
HandBack = Callable[[socket.socket, bytes], None]
"""A connection, and what was read from it and not answered."""


@dataclass
class InvocationLoop:
    """`signatures` tells whose requests are answered here; `hand_back` takes the others, from any thread. Requests come
    in once `ready` is set."""

    invocations: Invocations
    signatures: OwnersSignatures
    ready: threading.Event
    largest: int
    """Bytes that a request's body may have."""
    hand_back: HandBack = lambda connection, read: connection.close()
    callers: set[Caller] = field(default_factory=set)
    _loop: asyncio.AbstractEventLoop = field(default_factory=uvloop.new_event_loop)
    _servers: dict[str, AsyncServerConnections] = field(default_factory=dict)

    def start(self) -> None:
        """Its thread ends with the process, or by `stop`."""
        threading.Thread(target=self._run, name="invocations", daemon=True).start()

    def stop(self) -> None:
        """Connections end where they are."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    def take(self, connection: socket.socket, read: bytes) -> None:
        """From now on this connection is answered here; so much was read from it. From any thread."""
        asyncio.run_coroutine_threadsafe(self._take(connection, read), self._loop)

    def leave(self, server: ModelServer) -> None:
        """Connections to this server end. From any thread."""
        self._loop.call_soon_threadsafe(self._leave, server)

    async def answer(self, asked: InvocationRequest) -> HttpResponse:
        """As `Invocations.invoke`."""
        invocations = self.invocations
        way = invocations.hold(asked)
        if way is None:
            return invocations.refuse_unknown(asked)
        began = time.perf_counter()
        try:
            answered = ServerReply(
                *await self._connections(way.server).post("/invocations", asked.headers, asked.data)
            )
        except TooLate:
            answered = TOO_LATE
        except Unreachable:
            give_up = partial(invocations.give_up, asked, way, began)
            return await self._loop.run_in_executor(None, give_up)
        finally:
            invocations.free(way.server)
        return invocations.conclude(asked, way, answered, began)

    def _connections(self, server: ModelServer) -> AsyncServerConnections:
        kept = self._servers.get(server.id)
        if kept is None:
            kept = AsyncServerConnections(lambda: self.invocations.connect(server))
            self._servers[server.id] = kept
        return kept

    def _leave(self, server: ModelServer) -> None:
        kept = self._servers.pop(server.id, None)
        if kept is not None:
            kept.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.call_later(SWEEP_SECONDS, self._sweep)
        self._loop.run_forever()

    def _sweep(self) -> None:
        now = self._loop.time()
        for caller in tuple(self.callers):
            if caller.idle_since is not None and now - caller.idle_since > IDLE_SECONDS:
                caller.close()
        self._loop.call_later(SWEEP_SECONDS, self._sweep)

    async def _take(self, connection: socket.socket, read: bytes) -> None:
        if len(self.callers) >= MOST_CALLERS:
            idle = [caller for caller in self.callers if caller.idle_since is not None]
            for longest in sorted(idle, key=lambda caller: caller.idle_since or 0.0)[:1]:
                longest.close()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await self._loop.connect_accepted_socket(lambda: Caller(self, self._loop, read), connection)


class Caller(asyncio.Protocol):
    """One connection, of which so much was `read` already: a request, its answer, the next."""

    def __init__(self, invocations: InvocationLoop, loop: asyncio.AbstractEventLoop, read: bytes) -> None:
        self._invocations, self._loop, self._first = invocations, loop, read
        self._transport: Any = None
        self._answering: asyncio.Task[None] | None = None
        self._has_ended = False
        self.idle_since: float | None = loop.time()
        """On the loop's clock; None while a request is being answered."""
        self._begin()

    def _begin(self) -> None:
        self._parser: Any = httptools.HttpRequestParser(self)
        self._read: list[bytes] = []
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._begun = self._complete = 0
        self._elsewhere = False

    def close(self) -> None:
        """End it."""
        if self._transport is not None:
            self._transport.abort()

    # ---- what the loop tells ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._invocations.callers.add(self)
        # here, for what comes next may be read before anybody else can give it
        self.data_received(self._first)

    def eof_received(self) -> bool:
        """Who has sent all may still wait for an answer."""
        self._has_ended = True
        return self._answering is not None

    def connection_lost(self, problem: Exception | None) -> None:
        self._invocations.callers.discard(self)

    def data_received(self, data: bytes) -> None:
        self._read.append(data)
        if self._answering is not None:
            self._transport.pause_reading()  # until this request is answered
            return
        self.idle_since = self._loop.time()
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._elsewhere = True
        if self._elsewhere or self._begun > 1:
            self._give_back()
        elif self._complete:
            asked = self._understand()
            if asked is None:
                self._give_back()
                return
            keeps = self._parser.should_keep_alive()
            self._begin()
            self.idle_since = None
            self._answering = self._loop.create_task(self._answer(asked, keeps))

    # ---- what the parser tells ----

    def on_message_begin(self) -> None:
        self._begun += 1

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.decode("latin-1").lower()
        self._elsewhere = self._elsewhere or key in self._headers or key in ELSEWHERE
        self._headers[key] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        length = self._headers.get("content-length", "")
        if not length.isdigit() or len(length) > 12 or int(length) > self._invocations.largest:
            self._elsewhere = True

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        self._complete += 1

    # ---- answering ----

    def _understand(self) -> InvocationRequest | None:
        """The request; None where it is not for here."""
        received = time.perf_counter()
        path, headers = self._url.decode("latin-1"), self._headers
        found = PATH.fullmatch(path)
        if (
            found is None
            or self._parser.get_method() != b"POST"
            or self._parser.get_http_version() != "1.1"
            or not LOCAL.fullmatch(headers.get("host", ""))
            or not self._invocations.ready.is_set()
        ):
            return None
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        region = self._invocations.signatures.region(path, headers, body)
        if region is None:
            return None
        return InvocationRequest(
            key=(region, found[1]),
            wanted=headers.get("x-amzn-sagemaker-target-variant", ""),
            headers=pass_on_headers(headers),
            data=body,
            received=received,
        )

    async def _answer(self, asked: InvocationRequest, keeps: bool) -> None:
        try:
            answer = await self._invocations.answer(asked)
        except Exception as problem:
            print(f"an invocation failed: {problem!r}", flush=True)
            answer = HttpResponse("500 Internal Server Error", [("Content-Length", "0")], b"")
            keeps = False
        lines = [f"HTTP/1.1 {answer.status}", *(f"{name}: {value}" for name, value in answer.headers)]
        keeps = keeps and not self._has_ended
        if not keeps:
            lines.append("Connection: close")
        self._transport.write("\r\n".join([*lines, "", ""]).encode("latin-1") + answer.body)
        self._answering, self.idle_since = None, self._loop.time()
        if not keeps:
            self._transport.close()
        elif self._read:
            self._go_on()

    def _go_on(self) -> None:
        """With what came meanwhile."""
        early = b"".join(self._read)
        self._read.clear()
        self._transport.resume_reading()
        self.data_received(early)

    def _give_back(self) -> None:
        """The connection, with all that was read and not answered."""
        self._transport.pause_reading()
        connection = socket.socket(fileno=os.dup(self._transport.get_extra_info("socket").fileno()))
        self._transport.abort()
        self._invocations.hand_back(connection, b"".join(self._read))


def give_invocations(server: LoopbackServer, loop: InvocationLoop) -> None:
    """Connections of a bound server that begin with an invocation are answered on the loop from now on."""
    loop.hand_back = server.take_back
    loop.invocations.left = loop.leave
    server.find_taker = lambda read: loop.take if FIRST_WORDS.match(read) else None
    loop.start()
