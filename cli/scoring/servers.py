"""The servers that `ecomdeploy score` asks: the pack's own image, unpacked and run on this machine."""

from __future__ import annotations

import http.client
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from modelpack.errors import EcomdeployError
from modelpack.home import Home, hold_lock
from modelpack.progress import Progress
from stacks.scoring.columns import Body
from stacks.scoring.run import Reply

if TYPE_CHECKING:
    from infra.rehearsal.cloud.servers.host import Host, ModelServer
    from modelpack.image.registry.client import RegistryClient
    from modelpack.server.signature import ModelSignature

READY_SECONDS = 300.0
ANSWER_SECONDS = 3600
"""Of one request: a batch has nobody waiting, and the server must not give up before."""
BOUNDS = {"ECOMDEPLOY_LIMIT_SECONDS": str(ANSWER_SECONDS), "ECOMDEPLOY_LIMIT_WAITING": str(ANSWER_SECONDS)}
HEADER = "Inference-Header-Content-Length"
NOBODYS = "scored"
"""Stands for a registry and a repository in the image's name: it is taken from the folder of images here."""


@dataclass
class ScoringServer:
    """One model server, over one connection that stays open."""

    host: Host
    server: ModelServer
    _connection: http.client.HTTPConnection | None = field(default=None, repr=False)

    def ask(self, body: Body) -> Reply:
        headers = {"Content-Type": "application/octet-stream" if body.header else "application/json"}
        if body.header:
            headers[HEADER] = str(body.header)
        try:
            connection = self._connect()
            connection.request("POST", body.path, body.data, headers)
            response = connection.getresponse()
            return Reply(response.status, response.read(), int(response.headers.get(HEADER) or 0))
        except (OSError, http.client.HTTPException) as problem:
            words = " | ".join(self.host.tail(self.server, 3)) or str(problem)
            raise EcomdeployError(f"a model server went away: {words}") from problem

    def _connect(self) -> http.client.HTTPConnection:
        if self._connection is None:
            made = http.client.HTTPConnection("127.0.0.1", self.server.port)
            made.sock = self.host.connect(self.server)
            made.sock.settimeout(ANSWER_SECONDS)
            self._connection = made
        return self._connection


@contextmanager
def hold_packs(home: Home, progress: Progress) -> Iterator[Packs]:
    """The unpacked images, which one scoring of this home at a time works with."""
    folder = home.root / "scoring"
    with hold_lock(folder / "lock", lambda: progress.note("waiting for another scoring on this machine")):
        yield Packs(folder, home)


@dataclass(frozen=True)
class Packs:
    """Images of the home's folder of images, unpacked in `folder`."""

    folder: Path
    home: Home

    def bring(self, registry: RegistryClient, digest: str, progress: Progress) -> None:
        """The image from its registry, unless it is here."""
        from modelpack.image.oci.layout import Layout
        from modelpack.image.registry.pull import pull

        layout = Layout(self.home.images)
        if not layout.has(digest):
            pull(registry, layout, digest, progress)

    def holds(self, digest: str) -> bool:
        """Whether an image by that digest is on this machine; what is no digest names none."""
        from modelpack.image.oci.layout import Layout

        try:
            return Layout(self.home.images).has(digest)
        except EcomdeployError:
            return False

    def signature(self, digest: str) -> ModelSignature:
        """What the pack's model takes and gives. Raises EcomdeployError where the image is not here, or is none."""
        from infra.rehearsal.cloud.registry.blobs import Blobs
        from infra.rehearsal.cloud.servers.images import UnpackedImages
        from modelpack.server.ready import MODEL
        from modelpack.server.signature import read_signature

        tree = UnpackedImages(self.folder / "trees", Blobs(self.home.images)).tree(digest)
        return read_signature(tree.path / MODEL / "serving.json")

    @contextmanager
    def serve(
        self, digest: str, environment: Mapping[str, str], count: int, progress: Progress
    ) -> Iterator[tuple[ScoringServer, ...]]:
        """That many servers of a pack. Raises EcomdeployError where it cannot be run, or refuses to serve."""
        from infra.rehearsal.cloud.servers.models import ModelHost

        host = ModelHost(self.folder, NOBODYS, self.home.images)
        progress.step(f"Starting {count} model server{'s' if count > 1 else ''} of the pack")
        try:
            started = [
                host.start(f"{NOBODYS}/pack@{digest}", {**environment, **BOUNDS}) for _ in range(count)
            ]
            for one in started:
                host.wait_ready(one, READY_SECONDS)
            yield tuple(ScoringServer(host, one) for one in started)
        finally:
            host.stop_all()


def count_servers(signature: ModelSignature) -> int:
    """One for each core, or for as many cores as a call of the model takes."""
    return max(1, len(os.sched_getaffinity(0)) // signature.threads)
