"""A fake host whose servers answer over HTTP from threads: for tests of everything between a client and a model."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Semaphore, Thread
from typing import Any

from infra.rehearsal.cloud.servers.host import DRAIN_SECONDS, KILLED, NO_ERRAND, Errand, FakeHost, ModelServer


class SpeakingHost(FakeHost):
    """Echoes, and tells digests of its secrets. A server's variables steer it: ANSWER_STATUS, ANSWER_SECONDS, READY
    (no: never), DIGEST (of other files than its image has), START_WHEN (a file that must be there), LIVES (answers
    before it ends)."""

    def __init__(self, folder: Path, registry: str) -> None:
        super().__init__()
        self._threads: dict[str, ThreadingHTTPServer] = {}

    def start(
        self,
        image: str,
        environment: Mapping[str, str],
        secrets: Mapping[str, str] | None = None,
        errand: Errand = NO_ERRAND,
    ) -> ModelServer:
        server = super().start(image, environment, secrets, errand)
        told = {name: hashlib.sha256(value.encode()).hexdigest() for name, value in (secrets or {}).items()}
        while (awaited := environment.get("START_WHEN")) and not Path(awaited).exists():
            time.sleep(0.02)
        lives = Semaphore(int(lived)) if (lived := environment.get("LIVES")) else None
        end = partial(self.crash, server)
        handler = partial(_Model, server, dict(environment), told, lives, end)
        listening = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        listening.daemon_threads = True
        Thread(target=listening.serve_forever, args=(0.05,), daemon=True).start()
        server = replace(server, port=listening.server_port)
        if environment.get("READY") == "no":
            self.never_ready.add(image)
        with self._lock:
            self._running[server.id] = server
            self._threads[server.id] = listening
        return server

    def stop(self, server: ModelServer, seconds: float = DRAIN_SECONDS) -> int | None:
        status = super().stop(server, seconds)
        self._end(server)
        return status

    def crash(self, server: ModelServer, status: int = KILLED) -> None:
        super().crash(server, status)
        self._end(server)

    def _end(self, server: ModelServer) -> None:
        if listening := self._threads.pop(server.id, None):
            listening.shutdown()
            listening.server_close()


class _Model(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(
        self,
        server: ModelServer,
        environment: dict[str, str],
        secrets: dict[str, str],
        lives: Semaphore | None,
        end: Callable[[], None],
        *rest: Any,
    ) -> None:
        self.model = server
        self.environment = environment
        self.secrets = secrets
        self.lives = lives
        self.end = end
        super().__init__(*rest)

    def do_GET(self) -> None:
        self._say(503 if self.environment.get("READY") == "no" else 200, b"{}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.lives and not self.lives.acquire(blocking=False):
            self.close_connection = True
            self.end()
            return
        time.sleep(float(self.environment.get("ANSWER_SECONDS", "0")))
        told: dict[str, Any] = {
            "server": self.model.id,
            "digest": self.model.digest,
            "request": body.decode(),
            "score": 0.5,
        }
        told["predictions"] = [{"digest": self.model.digest, "score": 0.5}]
        told["secrets"] = self.secrets
        self._say(int(self.environment.get("ANSWER_STATUS", "200")), json.dumps(told).encode())

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header(
            "X-Amzn-SageMaker-Custom-Attributes", self.environment.get("DIGEST", self.model.digest)
        )
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Silent."""
