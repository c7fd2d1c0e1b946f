"""Servers that stand where the local cluster's pods listen, and a caller of the gateway."""

from __future__ import annotations

import http.client
import itertools
import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class KeptServer(ThreadingHTTPServer):
    """Knows its connections, to end them as a model server does that was told to stop: answers go out, none is read."""

    def __init__(self, address: str, handler: type[BaseHTTPRequestHandler]) -> None:
        self.connections: set[socket.socket] = set()
        super().__init__((address, 0), handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def drain(self) -> None:
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    pod: Pod

    def do_GET(self) -> None:
        self.pod.asked.append(self.path)
        if self.path == "/wait":
            self.pod.go_on.wait(60)
        if self.path == "/stream":
            self.stream()
            return
        said = {"pod": self.pod.address, "path": self.path, "headers": dict(self.headers)}
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"b\r\ndata: one\n\n\r\n")
        self.pod.go_on.wait(60)
        self.wfile.write(b"b\r\ndata: two\n\n\r\n0\r\n\r\n")

    def log_message(self, *_: Any) -> None:
        """Said to nobody."""


@dataclass
class Pod:
    """A server at a pod's place, which remembers what it was asked."""

    address: str
    asked: list[str] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)
    server: KeptServer = field(init=False)

    def __post_init__(self) -> None:
        self.server = KeptServer(self.address, type("Handler", (Handler,), {"pod": self}))
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def place(self) -> tuple[str, int]:
        return self.address, self.server.server_port

    def close(self) -> None:
        """No longer listen, end the connections; what is being answered is answered."""
        self.go_on.set()
        self.server.shutdown()
        self.server.server_close()
        self.server.drain()


@contextmanager
def pods(count: int) -> Iterator[list[Pod]]:
    made = [Pod(f"127.77.0.{number + 2}") for number in range(count)]
    try:
        yield made
    finally:
        for pod in made:
            pod.close()


def ask(port: int, host: str, path: str = "/", method: str = "GET", **headers: str) -> tuple[int, Any]:
    """The status, and the pod's JSON with the answer's headers under `got`, or the text of who else answered."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request(method, path, headers={"Host": host, **headers})
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) | {"got": dict(answer.headers)} if text[:1] == b"{" else text
    finally:
        connection.close()


@dataclass
class Caller:
    """Asks over one connection that it keeps, at least `count` times and until `enough`, and notes what came."""

    port: int
    host: str
    count: int
    enough: threading.Event
    statuses: Counter[str] = field(default_factory=Counter)

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        for number in itertools.count():
            if number >= self.count and self.enough.is_set():
                break
            try:
                connection.request("POST", f"/{number}", body=b"{}", headers={"Host": self.host})
                answer = connection.getresponse()
                answer.read()
                self.statuses[str(answer.status)] += 1
            except (OSError, http.client.HTTPException) as error:
                self.statuses[repr(error)] += 1
                connection.close()
        connection.close()


@contextmanager
def calling(port: int, host: str, callers: int = 4, each: int = 500) -> Iterator[Counter[str]]:
    """Callers that ask all the while; afterwards how often which status came, or which error."""
    enough, counted = threading.Event(), Counter[str]()
    made = [Caller(port, host, each, enough) for _ in range(callers)]
    threads = [threading.Thread(target=caller.run) for caller in made]
    for thread in threads:
        thread.start()
    try:
        yield counted
    finally:
        enough.set()
        for thread in threads:
            thread.join()
        for caller in made:
            counted.update(caller.statuses)
