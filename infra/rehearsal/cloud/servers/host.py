"""Where model servers run: the protocol that the emulated SageMaker uses, and its fake.

The real one is `models.ModelHost`.
"""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from modelpack.errors import EcomdeployError


class ServerFailed(EcomdeployError):
    """A model server could not be started, ended, or was not ready in time.

    `what` is fit for a FailureReason.
    """


@dataclass(frozen=True, kw_only=True)
class ModelServer:
    """One model server. `image` is the reference asked for, `digest` the manifest it runs, `port` one of its own
    network, which only `Host.connect` reaches; `pid` is the process that all of it ends with."""

    id: str
    port: int
    pid: int
    isolation: str
    image: str
    digest: str


def connect_here(server: ModelServer) -> socket.socket:
    """To a server that listens on this machine's own loopback."""
    return socket.create_connection(("127.0.0.1", server.port), 10)


class Host(Protocol):
    """Thread-safe. Every server belongs to this host and dies with it."""

    @property
    def isolation(self) -> str:
        """How servers are kept apart: "namespaces", "user namespace", "chroot", "plain process"; "unknown" so far."""
        ...

    def start(
        self, image: str, environment: Mapping[str, str], secrets: Mapping[str, str] | None = None
    ) -> ModelServer:
        """Start a server of `image` ("<registry>/<repository>@sha256:..."); returns before it is ready. `secrets` are
        handed to it past its environment (modelpack/server/secrets.py).

        Raises:
            ServerFailed: the image is not in the registry, damaged, or nothing here can run it.
        """
        ...

    def wait_ready(self, server: ModelServer, seconds: float) -> None:
        """Wait until `GET /ping` answers 200.

        Raises:
            ServerFailed: it ended (with its last words), was stopped meanwhile, or `seconds` passed.
        """
        ...

    def ready(self, server: ModelServer) -> bool:
        """Whether `/ping` answers 200 now."""
        ...

    def alive(self, server: ModelServer) -> bool:
        """Whether the process still runs."""
        ...

    def connect(self, server: ModelServer) -> socket.socket:
        """A new connection to the server, for whoever speaks HTTP over it. Raises OSError."""
        ...

    def stop(self, server: ModelServer) -> None:
        """SIGTERM, wait for it to drain, SIGKILL if it does not. Stopping twice is fine."""
        ...

    def stop_all(self) -> None:
        """Stop every server at once."""
        ...

    def running(self) -> tuple[ModelServer, ...]:
        """The servers that run now."""
        ...

    def tail(self, server: ModelServer, lines: int = 20) -> tuple[str, ...]:
        """The last lines of its log."""
        ...


@dataclass
class FakeHost:
    """The fake: no process at all. `never_ready` and `broken` name images (by substring) that misbehave."""

    isolation: str = "fake"
    never_ready: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    started: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    secrets: list[dict[str, str]] = field(default_factory=list, repr=False)
    stopped: list[str] = field(default_factory=list)
    _running: dict[str, ModelServer] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(
        self, image: str, environment: Mapping[str, str], secrets: Mapping[str, str] | None = None
    ) -> ModelServer:
        if any(part in image for part in self.broken):
            raise ServerFailed(f"{image} cannot run")
        with self._lock:
            number = next(self._numbers)
            digest = image.rpartition("@")[2]
            server = ModelServer(
                id=f"fake-{number}",
                port=20000 + number,
                pid=number,
                isolation="fake",
                image=image,
                digest=digest,
            )
            self.started.append((image, dict(environment)))
            self.secrets.append(dict(secrets or {}))
            self._running[server.id] = server
        return server

    def wait_ready(self, server: ModelServer, seconds: float) -> None:
        if not self.alive(server):
            raise ServerFailed(f"model server {server.id} ended before it was ready")
        if not self.ready(server):
            raise ServerFailed(f"model server {server.id} did not answer /ping within {seconds:g} s")

    def ready(self, server: ModelServer) -> bool:
        return self.alive(server) and not any(part in server.image for part in self.never_ready)

    def alive(self, server: ModelServer) -> bool:
        with self._lock:
            return server.id in self._running

    def connect(self, server: ModelServer) -> socket.socket:
        return connect_here(server)

    def stop(self, server: ModelServer) -> None:
        with self._lock:
            if self._running.pop(server.id, None):
                self.stopped.append(server.id)

    def crash(self, server: ModelServer) -> None:
        """End it from outside, as a fault would."""
        with self._lock:
            self._running.pop(server.id, None)

    def stop_all(self) -> None:
        for server in self.running():
            self.stop(server)

    def running(self) -> tuple[ModelServer, ...]:
        with self._lock:
            return tuple(self._running.values())

    def tail(self, server: ModelServer, lines: int = 20) -> tuple[str, ...]:
        return ()
