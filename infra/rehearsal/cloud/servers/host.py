"""Where model servers run: the protocol that the emulated SageMaker uses, and its fake.

The real one is `models.ModelHost`.
"""

from __future__ import annotations

import itertools
import socket
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from modelpack.errors import EcomdeployError


class ServerFailed(EcomdeployError):
    """A model server could not be started, ended, or was not ready in time.

    `what` is fit for a FailureReason.
    """


class NoSuchImage(ServerFailed):
    """The registry has no image by that digest, or what it has is damaged or no image that can be run."""


DRAIN_SECONDS = 12.0
"""A model server drains within 10 s."""
KILLED = 137
"""The exit status of what SIGKILL ended, as shells and Kubernetes write it."""


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


@dataclass(frozen=True, kw_only=True)
class Errand:
    """What a server's image is started for, where it is not to serve. `arguments` take the place of the image's own, or
    with `whole` of its entry point too. `account`: files of a service account by name, found where a pod has them.
    With such a one it is in this machine's own network, where the API server is. `folder`: one of this machine that it
    finds as /opt/ml, to read and write."""

    arguments: tuple[str, ...] = ()
    account: Mapping[str, str] = field(default_factory=dict, repr=False)
    folder: Path | None = None
    whole: bool = False


NO_ERRAND = Errand()


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
        self,
        image: str,
        environment: Mapping[str, str],
        secrets: Mapping[str, str] | None = None,
        errand: Errand = NO_ERRAND,
    ) -> ModelServer:
        """Start a server of `image` ("<registry>/<repository>@sha256:..."); returns before it is ready. `secrets` are
        handed to it past its environment (modelpack/server/secrets.py).

        Raises:
            NoSuchImage: the image is not in the registry, or damaged.
            ServerFailed: nothing here can run it.
        """
        ...

    def workspace(self) -> Path:
        """A new empty folder of this machine, for an errand; whoever asks removes it, else the next start does."""
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

    def status(self, server: ModelServer) -> int | None:
        """The exit status of one that ended by itself; None while it runs, and for one that was stopped."""
        ...

    def stop(self, server: ModelServer, seconds: float = DRAIN_SECONDS) -> int | None:
        """SIGTERM, wait for it to drain, after `seconds` SIGKILL. The exit status; None when it was stopped before."""
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

    def log(self, identifier: str) -> Path:
        """The file with all that the server of this `ModelServer.id` wrote; it stays when the server ends."""
        ...


@dataclass
class FakeHost:
    """The fake: no process at all. `never_ready` and `broken` name images (by substring) that misbehave."""

    isolation: str = "fake"
    never_ready: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    started: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    secrets: list[dict[str, str]] = field(default_factory=list, repr=False)
    errands: list[Errand] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    logs: Path = Path("/nonexistent")
    _running: dict[str, ModelServer] = field(default_factory=dict)
    _ended: dict[str, int] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(
        self,
        image: str,
        environment: Mapping[str, str],
        secrets: Mapping[str, str] | None = None,
        errand: Errand = NO_ERRAND,
    ) -> ModelServer:
        self.errands.append(errand)
        if any(part in image for part in self.broken):
            raise NoSuchImage(f"{image} cannot run")
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

    def workspace(self) -> Path:
        return Path(tempfile.mkdtemp())

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

    def status(self, server: ModelServer) -> int | None:
        with self._lock:
            return self._ended.get(server.id)

    def stop(self, server: ModelServer, seconds: float = DRAIN_SECONDS) -> int | None:
        with self._lock:
            if self._running.pop(server.id, None):
                self.stopped.append(server.id)
                return 0
            return self._ended.pop(server.id, None)

    def crash(self, server: ModelServer, status: int = KILLED) -> None:
        """End it from outside, as a fault would."""
        with self._lock:
            self._running.pop(server.id, None)
            self._ended[server.id] = status

    def stop_all(self) -> None:
        for server in self.running():
            self.stop(server)

    def running(self) -> tuple[ModelServer, ...]:
        with self._lock:
            return tuple(self._running.values())

    def tail(self, server: ModelServer, lines: int = 20) -> tuple[str, ...]:
        return ()

    def log(self, identifier: str) -> Path:
        return self.logs / f"{identifier}.log"
