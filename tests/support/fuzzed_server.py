"""Asks a model server whatever a fuzz makes, and sees what that takes of it."""

from __future__ import annotations

import http.client
import json
from typing import Any

import psutil
from fuzzing import LONGEST
from model_server import Process
from waiting import SECONDS

Headers = dict[str, str]
Asked = tuple[bytes, Headers]
TARGETS = 5
"""Kinds of requests that share the time of the server's group."""


class Watch:
    """Asks one server, and sees what that takes."""

    def __init__(self, server: Process) -> None:
        self.port = int(server.url.rpartition(":")[2])
        self.server = psutil.Process(server.process.pid)
        self._connection: http.client.HTTPConnection | None = None

    def post(self, path: str, body: bytes, headers: Headers) -> tuple[int, bytes]:
        """Status and body of the answer; the connection is kept while the server keeps it."""
        before = self.spent()
        connection = self._connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        found = answer.read()
        self._connection = None if answer.will_close else connection
        assert answer.status < 500, (answer.status, found[:300])
        if answer.status >= 400:
            assert json.loads(found)["error"]
        self.check(before)
        return answer.status, found

    def get(self, path: str) -> bytes:
        """The body of the answer, which must be there."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        connection.request("GET", path)
        answer = connection.getresponse()
        found = answer.read()
        connection.close()
        assert answer.status == 200, (answer.status, found[:300])
        return found

    def check(self, before: float) -> None:
        assert self.server.is_running()
        assert self.spent() - before < LONGEST

    def spent(self) -> float:
        times = self.server.cpu_times()
        return float(times.user + times.system)

    def memory(self) -> int:
        return int(self.server.memory_info().rss)


def as_json(value: Any) -> bytes:
    """Also what is no JSON: NaN, lone surrogates."""
    return json.dumps(value).encode()
