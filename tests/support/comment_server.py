"""What GitHub and GitLab have of comments, over HTTP: enough for a client to list, write and change them."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

GITHUB = re.compile(r"/repos/shop/models/issues/(?:7/)?comments(?:/(?P<id>\d+))?")
GITLAB = re.compile(r"/projects/3/merge_requests/7/notes(?:/(?P<id>\d+))?")


@dataclass
class CommentServer:
    """`token` is what it wants to be told; `comments` are bodies by id, oldest first; `calls` what was asked."""

    token: str = "t0ken"
    url: str = ""
    comments: dict[int, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def answer(self, method: str, address: str, headers: Any, body: bytes) -> tuple[int, Any]:
        parts = urlsplit(address)
        self.calls.append(f"{method} {parts.path}")
        github, gitlab = GITHUB.fullmatch(parts.path), GITLAB.fullmatch(parts.path)
        given = (headers.get("Authorization") or "").removeprefix("Bearer ") if github else None
        if self.token != (given if github else headers.get("PRIVATE-TOKEN")):
            return 401, {"message": "Bad credentials"}
        found = github or gitlab
        if found is None:
            return 404, {"message": "Not Found"}
        if method == "GET":
            asked = parse_qs(parts.query)
            size, page = int(asked["per_page"][0]), int(asked["page"][0])
            listed = [{"id": number, "body": text} for number, text in self.comments.items()]
            return 200, listed[size * (page - 1) : size * page]
        if found["id"] and method != ("PATCH" if github else "PUT"):
            return 405, {}
        number = int(found["id"] or len(self.comments) + 1)
        self.comments[number] = json.loads(body)["body"]
        return (200 if found["id"] else 201), {"id": number, "body": self.comments[number]}


@contextmanager
def serve_comments() -> Iterator[CommentServer]:
    """A server on a port of its own; `url` is its API."""
    state = CommentServer()

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, document = state.answer(self.command, self.path, self.headers, body)
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_PUT = respond

        def log_message(self, *_: Any) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
