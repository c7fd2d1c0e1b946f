"""HTTPS for callers who show a certificate of one authority: the API server, and nobody else."""

from __future__ import annotations

import contextlib
import json
import ssl
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from infra.rehearsal.cloud.kubernetes.tls_server import TlsServer, server_context

SILENT_SECONDS = 60.0
"""How long a connection may be silent."""


class HttpsAnswer:
    """What a request is answered through: one of `text`, `json` and, for what has no known end, `begin` and `write`."""

    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        self._handler = handler

    def text(self, status: int, words: str) -> None:
        self._whole(status, "text/plain; charset=utf-8", words.encode())

    def json(self, status: int, document: object) -> None:
        self._whole(status, "application/json", json.dumps(document).encode())

    def begin(self) -> None:
        """200, and text until the connection ends."""
        self._handler.send_response(200)
        self._handler.send_header("Content-Type", "text/plain; charset=utf-8")
        self._handler.send_header("Transfer-Encoding", "chunked")
        self._handler.end_headers()

    def write(self, data: bytes) -> None:
        """A part of it; b"" ends it. Raises OSError when the caller is gone."""
        self._handler.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self._handler.wfile.flush()

    def _whole(self, status: int, kind: str, body: bytes) -> None:
        self._handler.send_response(status)
        self._handler.send_header("Content-Type", kind)
        self._handler.send_header("Content-Length", str(len(body)))
        self._handler.end_headers()
        if self._handler.command != "HEAD":
            self._handler.wfile.write(body)


Asked = Callable[[str, dict[str, str], HttpsAnswer], None]
"""Path, parameters of the query, and what to answer through."""


class HttpsServer:
    """Listens on 127.0.0.1. `group`: the organisation that a caller's certificate must name, "" for any."""

    def __init__(self, port: int, certificate: Path, authority: Path, answer: Asked, group: str = "") -> None:
        """Raises OSError when the port is taken."""
        context = server_context(str(certificate), str(certificate.with_suffix(".key")))
        context.load_verify_locations(authority)
        context.verify_mode = ssl.CERT_REQUIRED
        self._server = TlsServer(port, context, _handler(answer, group))

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> HttpsServer:
        """Begin; returns itself."""
        self._server.start()
        return self

    def stop(self) -> None:
        self._server.end()


def _handler(answer: Asked, group: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = SILENT_SECONDS

        def do_GET(self) -> None:
            through = HttpsAnswer(self)
            shown: Any = self.connection
            subject = [pair for part in shown.getpeercert().get("subject", ()) for pair in part]
            if group and ("organizationName", group) not in subject:
                through.text(403, f"only for {group}")
                return
            asked = urlsplit(self.path)
            with contextlib.suppress(ConnectionError):
                answer(asked.path, dict(parse_qsl(asked.query, keep_blank_values=True)), through)

        def log_message(self, *_: Any) -> None:
            """The API server has its own log."""

    for method in ("POST", "HEAD", "PUT", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.do_GET)
    return Handler
