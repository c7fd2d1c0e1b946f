"""A WSGI application on a loopback port: waitress, tuned for layers and for clients that try TLS first."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import TcpWSGIServer
from waitress.utilities import BadRequest

LARGEST_BODY = 64 * 1024**3
"""Bytes; larger than any layer ECR takes (52,000 MiB)."""
LARGEST_CALL = 256 * 1024**2
"""Bytes of a call to the AWS API; InvokeEndpoint takes 25 MB, and S3 here keeps records and settings."""
MOST_CONNECTIONS = 500
"""Of more the one that has been idle longest is closed: whoever only holds connections open locks nobody out."""
IDLE_SECONDS = 60
FindTaker = Callable[[bytes], Callable[[socket.socket, bytes], None] | None]
"""Who is given a connection that begins with these bytes; None: it is answered here."""
TLS_HANDSHAKE = 0x16
"""First byte of a TLS ClientHello record (RFC 8446 section 5.1)."""


class PlainParser(HTTPRequestParser):  # type: ignore[misc]
    """Answers a TLS greeting with 400 at once, and tells nobody to go on who has sent all.

    waitress would wait for a line end that never comes, and container tools (skopeo, podman) that try TLS
    before plain HTTP would sit out their 10 s handshake timeout on every connection. It would wait for an empty body,
    too, of a client that expects "100 Continue": boto3's `put_object` of an empty object.
    """

    def received(self, data: bytes) -> int:
        if not self.headers_finished and not self.header_plus and data[:1] == bytes((TLS_HANDSHAKE,)):
            self.parse_header(b"GET / HTTP/1.0\r\n")
            self.error = BadRequest("this port speaks plain HTTP")
            self.completed = True
            return len(data)
        taken = int(super().received(data))
        if self.completed:
            self.expect_continue = False
        return taken


class PlainChannel(HTTPChannel):  # type: ignore[misc]
    """A connection; by its first words it may be for somebody else."""

    parser_class = PlainParser
    is_new = True

    def received(self, data: bytes) -> bool:
        take = self.server.find_taker(data) if self.is_new else None
        self.is_new = False
        if take is None:
            return bool(super().received(data))
        connection = self.socket.dup()
        self.handle_close()
        take(connection, data)
        return False


class LoopbackServer(TcpWSGIServer):  # type: ignore[misc]
    """Takes every connection, at the price of the one that has been idle longest."""

    channel_class = PlainChannel
    find_taker: FindTaker = staticmethod(lambda data: None)

    def take_back(self, connection: socket.socket, read: bytes) -> None:
        """Answer a connection of which so much was read elsewhere. From any thread."""
        self.trigger.pull_trigger(lambda: self._take_back(connection, read))

    def _take_back(self, connection: socket.socket, read: bytes) -> None:
        self.set_socket_options(connection)
        channel = self.channel_class(self, connection, connection.getpeername(), self.adj, map=self._map)
        channel.is_new = False
        channel.received(read)

    def handle_accept(self) -> None:
        super().handle_accept()
        idle = [channel for channel in self.active_channels.values() if not channel.requests]
        if len(self.active_channels) > MOST_CONNECTIONS and idle:
            min(idle, key=lambda channel: channel.last_activity).handle_close()


def listen(application: Any, port: int = 0, threads: int = 8, largest: int = LARGEST_BODY) -> Any:
    """A bound waitress server (`.effective_port`, `.run()`, `.close()`). `port` 0: a free one; `largest`: bytes that a
    request's body may have.

    Raises OSError when the port is taken.
    """
    adjustments = Adjustments(
        host="127.0.0.1",
        port=port,
        threads=threads,
        max_request_body_size=largest,
        recv_bytes=256 * 1024,
        connection_limit=2 * MOST_CONNECTIONS,
        asyncore_use_poll=True,
        channel_timeout=IDLE_SECONDS,
        cleanup_interval=10,
        asyncore_loop_timeout=10,
        ident=None,
    )
    # a map of its own, so that several servers can run in one process
    return LoopbackServer(application, map={}, adj=adjustments, sockinfo=adjustments.listen[0])
