"""From a pod's address to its model server: bytes are carried over, not read. One event loop for all pods."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from modelpack.server.http.listening import refuse_new

Connect = Callable[[], socket.socket]
"""A new connection to the model server. Raises OSError."""
BACKLOG = 1024
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes a close a reset (man 7 socket)."""
SETTLE_SECONDS = 0.05
THREADS = 16
"""That wait for new connections to servers: each takes well under a millisecond."""


@dataclass
class Entrance:
    """One address and port that is listened on. Without `connect` whoever comes is sent away, by a reset: a listening
    socket cannot refuse, and an address that is not listened on could be taken by others."""

    bound: socket.socket
    connect: Connect | None = None


class Relay:
    """Thread-safe."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._threads = ThreadPoolExecutor(THREADS, "connect")
        self._servers: dict[int, asyncio.Server] = {}

    def start(self) -> Relay:
        """Begin; returns itself."""
        threading.Thread(target=self._loop.run_forever, name="relay", daemon=True).start()
        return self

    def open(self, address: str, port: int) -> Entrance:
        """Listen there. Raises OSError when somebody else does."""
        bound = socket.socket()
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((address, port))
            bound.listen(BACKLOG)
        except OSError:
            bound.close()
            raise
        entrance = Entrance(bound)
        asyncio.run_coroutine_threadsafe(self._serve(entrance), self._loop).result()
        return entrance

    def close(self, entrance: Entrance) -> None:
        """Refuse whoever comes from now on; connections there are go on until their server ends them."""
        asyncio.run_coroutine_threadsafe(self._leave(entrance), self._loop).result()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _serve(self, entrance: Entrance) -> None:
        made = await self._loop.create_server(
            lambda: _Caller(entrance, self._loop, self._threads), sock=entrance.bound, backlog=BACKLOG
        )
        self._servers[id(entrance)] = made

    async def _leave(self, entrance: Entrance) -> None:
        if server := self._servers.pop(id(entrance), None):
            # those who are in the queue already are let in: a close would reset them
            refuse_new(entrance.bound)
            await asyncio.sleep(SETTLE_SECONDS)
            server.close()


class _End(asyncio.Protocol):
    """One end of a carried connection."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.other and self.other.transport:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        """The other way stays open: whoever asked may still be answered."""
        if self.other and self.other.transport and not self.other.transport.is_closing():
            self.other.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other and self.other.transport and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, problem: Exception | None) -> None:
        if self.other and self.other.transport:
            self.other.transport.close()


class _Caller(_End):
    """The caller's end: nothing is read before there is a server to give it to."""

    def __init__(
        self, entrance: Entrance, loop: asyncio.AbstractEventLoop, threads: ThreadPoolExecutor
    ) -> None:
        super().__init__()
        self._entrance = entrance
        self._loop = loop
        self._threads = threads
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None
        self.transport.pause_reading()
        self._task = self._loop.create_task(self._meet())

    async def _meet(self) -> None:
        assert self.transport is not None
        connect = self._entrance.connect
        try:
            if connect is None:
                raise ConnectionRefusedError
            made = await self._loop.run_in_executor(self._threads, connect)
            if self.transport.is_closing():
                made.close()
                return
            made.setblocking(False)
            _, server = await self._loop.create_connection(_End, sock=made)
        except OSError:
            self._reset()
            return
        self.other, server.other = server, self
        self.transport.resume_reading()

    def _reset(self) -> None:
        assert self.transport is not None
        with contextlib.suppress(OSError):
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()
