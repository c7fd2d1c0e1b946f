"""Model servers as processes of this machine, each from an image's own files. The real `host.Host`.

<folder>/trees/<hex>             an unpacked image
<folder>/running/<id>.json       pid and start time, so that a killed daemon's servers are found
<folder>/logs/<id>.log           what it wrote
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from infra.rehearsal.cloud.registry.blobs import Blobs
from infra.rehearsal.cloud.servers.host import (
    DRAIN_SECONDS,
    NO_ERRAND,
    Errand,
    ModelServer,
    NoSuchImage,
    ServerFailed,
)
from infra.rehearsal.cloud.servers.images import UnpackedImage, UnpackedImages
from infra.rehearsal.cloud.servers.isolation import Isolation, Plan, choices
from infra.rehearsal.cloud.servers.supervise import Child, Supervisor
from modelpack.training.container import VARIABLE

LOOPBACK = "127.0.0.1"
MUST_NOT_SERVE = 3
"""Exit status of a server whose files are not those that were packed (modelpack/server/main.py)."""
POLL_SECONDS = 0.02
PING_SECONDS = 5.0
PROBE_SECONDS = 20.0
WORKSPACES = "workspaces"
LOGS_KEPT = 50
TAIL_BYTES = 64 * 1024


def list_logs(folder: Path, image: str = "") -> list[Path]:
    """The logs of servers, the one that was started last comes last: by number, for clocks are set. `image`: only those
    of the image whose digest begins so."""
    return sorted((folder / "logs").glob(f"{image}*-*.log"), key=number_of)


def number_of(log: Path) -> int:
    """Which server it is, counted over all starts of the local cloud: the name is `<image>-<number>-<chance>`."""
    number = log.stem.split("-")[1]
    return int(number) if number.isdecimal() else 0


class ModelHost:
    """Runs the images of one registry.

    `folder` is its own; `registry` is "host:port" as image references name it; `blobs` the registry's folder
    (default: `registry` beside `folder`); `ways` overrides how servers may be isolated, preferred first.
    """

    def __init__(
        self, folder: Path, registry: str, blobs: Path | None = None, ways: Sequence[Isolation] | None = None
    ) -> None:
        self._folder = folder
        self._registry = registry
        self._images = UnpackedImages(folder / "trees", Blobs(blobs or folder.parent / "registry"))
        self._supervisor = Supervisor(folder / "running")
        self._ways = tuple(ways) if ways is not None else choices()
        self._way: Isolation | None = None
        self._lock = threading.Lock()
        self._choice = threading.Lock()
        self._children: dict[str, tuple[ModelServer, Child]] = {}
        self._ports: set[int] = set()
        numbers = [number_of(log) for log in list_logs(folder)]
        self._numbers = itertools.count(1 + max(numbers, default=0))
        self._sweep()

    def _sweep(self) -> None:
        self._supervisor.sweep()
        self._images.sweep()
        shutil.rmtree(self._folder / WORKSPACES, ignore_errors=True)
        for log in list_logs(self._folder)[:-LOGS_KEPT]:
            log.unlink(missing_ok=True)

    @property
    def isolation(self) -> str:
        """The way that works here; "unknown" until the first server was started."""
        return self._way.name if self._way else "unknown"

    def start(
        self,
        image: str,
        environment: Mapping[str, str],
        secrets: Mapping[str, str] | None = None,
        errand: Errand = NO_ERRAND,
    ) -> ModelServer:
        """See `host.Host.start`. Unpacks the image first when it is new here."""
        repository, _, digest = image.partition("@")
        if not digest or not repository.startswith(f"{self._registry}/"):
            raise NoSuchImage(f"image {image!r} is not of the registry {self._registry}, by digest")
        tree = self._images.tree(digest)
        way = self._choose(tree)
        if errand.arguments:
            entry = () if errand.whole else tree.argv[: tree.entry]
            tree = replace(tree, argv=(*entry, *errand.arguments))
        identifier = f"{digest[7:15]}-{next(self._numbers)}-{uuid.uuid4().hex[:6]}"
        port = self._free_port()
        # there is no GPU behind the local cloud: the server of a GPU pack says so, and answers by its CPU provider
        environment = {"ECOMDEPLOY_ALLOW_CPU": "1", **environment}
        variables = {**environment, "ECOMDEPLOY_HOST": LOOPBACK, "SAGEMAKER_BIND_TO_PORT": str(port)}
        try:
            plan = way.plan(tree, variables) | {"secrets": dict(secrets or {})}
            if errand.account:
                plan |= {"account": dict(errand.account)}
                if not plan["namespaces"]:
                    raise ServerFailed("it has a service account, which takes mounts of its own, denied here")
            if errand.folder:
                plan = share(plan, errand.folder)
            child = self._supervisor.spawn(identifier, plan, self.log(identifier))
        except (OSError, ServerFailed) as problem:
            with self._lock:
                self._ports.discard(port)
            raise ServerFailed(f"image {image} cannot be started: {problem}") from None
        server = ModelServer(
            id=identifier, port=port, pid=child.process.pid, isolation=way.name, image=image, digest=digest
        )
        with self._lock:
            self._children[identifier] = (server, child)
        return server

    def workspace(self) -> Path:
        """See `host.Host.workspace`."""
        folder = self._folder / WORKSPACES / uuid.uuid4().hex
        folder.mkdir(parents=True)
        return folder

    def wait_ready(self, server: ModelServer, seconds: float) -> None:
        """See `host.Host.wait_ready`."""
        deadline = time.monotonic() + seconds
        while not self.ready(server):
            child = self._child(server)
            if child is None:
                raise ServerFailed(f"model server {server.id} was stopped before it was ready")
            if child.status is not None:
                words = last_words(self.tail(server, 10))
                if child.status == MUST_NOT_SERVE:
                    self._unpack_again(server)
                raise ServerFailed(f"model server ended with status {child.status}: {words}")
            if time.monotonic() > deadline:
                raise ServerFailed(f"model server did not answer /ping with 200 within {seconds:g} s")
            time.sleep(POLL_SECONDS)

    def _unpack_again(self, server: ModelServer) -> None:
        """The files here may have been damaged after they were unpacked: the next start takes fresh ones."""
        if not any(other.digest == server.digest for other in self.running()):
            self._images.discard(server.digest)

    def ready(self, server: ModelServer) -> bool:
        """See `host.Host.ready`."""
        if not self.alive(server):
            return False
        connection = http.client.HTTPConnection(LOOPBACK, server.port)
        try:
            connection.sock = self.connect(server)
            connection.sock.settimeout(PING_SECONDS)
            connection.request("GET", "/ping")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def alive(self, server: ModelServer) -> bool:
        """See `host.Host.alive`."""
        child = self._child(server)
        return child is not None and child.status is None

    def connect(self, server: ModelServer) -> socket.socket:
        """See `host.Host.connect`."""
        child = self._child(server)
        if child is None:
            raise ConnectionRefusedError(f"model server {server.id} was stopped")
        return child.connect(server.port)

    def status(self, server: ModelServer) -> int | None:
        """See `host.Host.status`."""
        child = self._child(server)
        return child.status if child else None

    def stop(self, server: ModelServer, seconds: float = DRAIN_SECONDS) -> int | None:
        """See `host.Host.stop`."""
        with self._lock:
            found = self._children.pop(server.id, None)
        if found is None:
            return None
        self._supervisor.stop(server.id, found[1], seconds)
        with self._lock:
            self._ports.discard(server.port)
        if found[1].status == MUST_NOT_SERVE:
            self._unpack_again(server)
        return found[1].status

    def stop_all(self) -> None:
        """See `host.Host.stop_all`; all at once, so it takes as long as the slowest."""
        with self._lock:
            servers = [server for server, _ in self._children.values()]
        if servers:
            with ThreadPoolExecutor(len(servers)) as pool:
                list(pool.map(self.stop, servers))

    def running(self) -> tuple[ModelServer, ...]:
        """See `host.Host.running`."""
        with self._lock:
            found = list(self._children.values())
        return tuple(server for server, child in found if child.status is None)

    def tail(self, server: ModelServer, lines: int = 20) -> tuple[str, ...]:
        """See `host.Host.tail`."""
        try:
            with self.log(server.id).open("rb") as file:
                file.seek(max(0, file.seek(0, 2) - TAIL_BYTES))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return ()
        return tuple(text.splitlines()[-lines:])

    def log(self, identifier: str) -> Path:
        """See `host.Host.log`."""
        return self._folder / "logs" / f"{identifier}.log"

    def _child(self, server: ModelServer) -> Child | None:
        with self._lock:
            found = self._children.get(server.id)
        return found[1] if found else None

    def _choose(self, tree: UnpackedImage) -> Isolation:
        """The first way that really runs the image's interpreter; found once."""
        with self._choice:
            if self._way is None:
                refused = []
                for way in self._ways:
                    problem = self._try(way, tree)
                    if not problem:
                        self._way = way
                        break
                    refused.append(f"{way.name}: {problem}")
                else:
                    raise ServerFailed(f"nothing here can run image {tree.digest}: {'; '.join(refused)}")
            return self._way

    def _try(self, way: Isolation, tree: UnpackedImage) -> str:
        """Run the image's interpreter once this way; "" when it ran, else why not."""
        log = self.log(f"probe-{uuid.uuid4().hex}")
        try:
            plan = way.plan(replace(tree, argv=(tree.argv[0], "--version")), {})
            child = self._supervisor.spawn(log.stem, plan, log)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(PROBE_SECONDS)
            status = child.status
            self._supervisor.stop(log.stem, child, 0)
            said = log.read_text(errors="replace").strip()[-300:]
        except (OSError, ServerFailed) as problem:
            return str(problem)
        finally:
            log.unlink(missing_ok=True)
        return "" if status == 0 else f"status {status}: {said}"

    def _free_port(self) -> int:
        with self._lock:
            while True:
                with socket.socket() as probe:
                    probe.bind((LOOPBACK, 0))
                    port = int(probe.getsockname()[1])
                if port not in self._ports:
                    self._ports.add(port)
                    return port


def share(plan: Plan, folder: Path) -> Plan:
    """The plan with a folder that is /opt/ml there, and belongs to whoever runs there; where it has no mounts of its
    own, a variable says where. Raises ServerFailed where neither is possible."""
    if plan["namespaces"]:
        if plan["user"] and not plan["become"]:
            uid, gid = plan["user"]
            for path in (folder, *folder.rglob("*")):
                os.chown(path, uid, gid, follow_symlinks=False)
        return plan | {"shared": str(folder)}
    if plan["root"]:
        raise ServerFailed("it takes a folder, which takes mounts of its own, denied here")
    return plan | {"environment": {**plan["environment"], VARIABLE: str(folder)}}


def last_words(lines: Sequence[str]) -> str:
    """Why a server says it ended: the reason of its refusal, else the end of its log."""
    for line in reversed(lines):
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict) and said.get("event") == "refused":
            return str(said.get("reason"))
    return " | ".join(lines[-3:]) or "nothing in its log"
