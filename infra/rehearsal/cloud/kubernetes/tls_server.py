"""HTTP over TLS on 127.0.0.1, a thread a connection: what the API server asks our parts."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import weakref
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class TlsServer(ThreadingHTTPServer):
    """Serves by that handler from `start` on. Raises OSError when the port is taken."""

    daemon_threads = True

    def __init__(self, port: int, context: ssl.SSLContext, handler: type[BaseHTTPRequestHandler]) -> None:
        self.context = context
        self.connections: weakref.WeakSet[Any] = weakref.WeakSet()
        super().__init__(("127.0.0.1", port), handler)

    def get_request(self) -> tuple[Any, Any]:
        made, where = super().get_request()
        # the handshake is the thread's of that connection: a slow caller holds nobody up
        wrapped = self.context.wrap_socket(made, server_side=True, do_handshake_on_connect=False)
        self.connections.add(wrapped)
        return wrapped, where

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller without a certificate, or one that is gone: its own affair."""

    def start(self) -> Callable[[], None]:
        """Serve in a thread; what ends it."""
        threading.Thread(target=self.serve_forever, name="tls", daemon=True).start()
        return self.end

    def end(self) -> None:
        self.shutdown()
        self.server_close()
        # the API server keeps its connections, and would be answered on them still
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """TLS by that certificate, for callers of any kind."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
