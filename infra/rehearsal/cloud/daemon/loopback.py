"""A WSGI application on a loopback port: waitress, tuned for layers and for clients that try TLS first."""

from __future__ import annotations

from typing import Any

from waitress import create_server
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.utilities import BadRequest

LARGEST_BODY = 64 * 1024**3
"""Bytes; larger than any layer ECR takes (52,000 MiB)."""
TLS_HANDSHAKE = 0x16
"""First byte of a TLS ClientHello record (RFC 8446 section 5.1)."""


class PlainParser(HTTPRequestParser):  # type: ignore[misc]
    """Answers a TLS greeting with 400 at once.

    waitress would wait for a line end that never comes, and container tools (skopeo, podman) that try TLS
    before plain HTTP would sit out their 10 s handshake timeout on every connection.
    """

    def received(self, data: bytes) -> int:
        if not self.headers_finished and not self.header_plus and data[:1] == bytes((TLS_HANDSHAKE,)):
            self.parse_header(b"GET / HTTP/1.0\r\n")
            self.error = BadRequest("this port speaks plain HTTP")
            self.completed = True
            return len(data)
        return int(super().received(data))


class PlainChannel(HTTPChannel):  # type: ignore[misc]
    parser_class = PlainParser


def listen(application: Any, port: int = 0, threads: int = 8) -> Any:
    """A bound waitress server (`.effective_port`, `.run()`, `.close()`). `port` 0: a free one.

    Raises OSError when the port is taken.
    """
    server = create_server(
        application,
        host="127.0.0.1",
        port=port,
        threads=threads,
        max_request_body_size=LARGEST_BODY,
        recv_bytes=256 * 1024,
        channel_timeout=600,
        map={},  # its own, so that several servers can run in one process
        asyncore_loop_timeout=30,
        ident=None,
    )
    server.channel_class = PlainChannel
    return server
