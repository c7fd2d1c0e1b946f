"""Pushing: HEAD first, four blobs at a time, each streamed from disk in one PUT and tried again by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from urllib.parse import urljoin

import httpx

from modelpack.errors import EcomdeployError
from modelpack.image.oci.descriptor import Descriptor, blobs_of
from modelpack.image.oci.layout import Layout
from modelpack.image.registry.client import RegistryClient
from modelpack.image.registry.http import Again
from modelpack.progress import Progress

PARALLEL = 4
BLOCK = 1 << 20


@dataclass(frozen=True)
class PushWork:
    """What a push has to do. `manifests` are digest and media type, the image's first; subjects come before."""

    blobs: tuple[Descriptor, ...]
    present: int
    manifests: tuple[Descriptor, ...]

    @property
    def bytes(self) -> int:
        return sum(blob.size for blob in self.blobs) + sum(manifest.size for manifest in self.manifests)


@dataclass(frozen=True)
class Pushed:
    """What a push did. `bytes_sent` counts blobs and manifests, as they went over the wire."""

    bytes_sent: int
    blobs_sent: int
    blobs_present: int


def missing(registry: RegistryClient, layout: Layout, digest: str) -> int:
    """How many bytes a push of the image and its referrers would send now."""
    return _work(registry, layout, digest).bytes


def push(registry: RegistryClient, layout: Layout, digest: str, tag: str, progress: Progress) -> Pushed:
    """Send what the repository lacks: blobs first, then manifests, then what refers to the image.

    A push that was cut off is pushed again: what arrived is not sent twice.
    Raises CloudRefused for credentials, EcomdeployError when the registry stays away or a blob here is corrupted.
    """
    work = _work(registry, layout, digest)
    sent = work.bytes
    with progress.track("Pushing", work.bytes, "B") as advance:
        with ThreadPoolExecutor(PARALLEL) as pool:
            list(pool.map(lambda blob: _Upload(registry, layout, blob, advance).run(), work.blobs))
        for manifest in work.manifests:
            noted = registry.put_manifest(manifest.digest, layout.read(manifest.digest), manifest.media_type)
            advance(manifest.size)
            subject = layout.manifest(manifest.digest).get("subject")
            if subject and not noted:
                sent += registry.note_referrer(str(subject["digest"]), manifest)
    if registry.has_manifest(tag) != digest:
        data = layout.read(digest)
        registry.put_manifest(tag, data, _describe(layout, digest).media_type)
        sent += len(data)
    return Pushed(sent, len(work.blobs), work.present)


def _work(registry: RegistryClient, layout: Layout, digest: str) -> PushWork:
    manifests = (_describe(layout, digest), *layout.referrers(digest))
    with ThreadPoolExecutor(PARALLEL) as pool:
        known = list(pool.map(lambda one: bool(registry.has_manifest(one.digest)), manifests))
        # a registry takes a manifest only when it has all its blobs
        absent = [manifest for manifest, there in zip(manifests, known, strict=True) if not there]
        needed = {blob.digest: blob for one in absent for blob in blobs_of(layout.manifest(one.digest))}
        there = list(pool.map(lambda blob: registry.has_blob(blob.digest), needed.values()))
    lacking = tuple(blob for blob, has in zip(needed.values(), there, strict=True) if not has)
    image = blobs_of(layout.manifest(digest)) if known[0] else ()
    return PushWork(lacking, sum(there) + len(image), tuple(absent))


def _describe(layout: Layout, digest: str) -> Descriptor:
    for entry in layout.descriptors():
        if entry.digest == digest:
            return entry
    raise EcomdeployError(f"{digest} is not in {layout.root}", hint="run `ecomdeploy pack` to build it again")


class _Upload:
    """One blob on its way."""

    def __init__(
        self, registry: RegistryClient, layout: Layout, blob: Descriptor, advance: Callable[[float], None]
    ) -> None:
        self.registry = registry
        self.layout = layout
        self.blob = blob
        self.advance = advance
        self.told = 0
        self.lock = Lock()

    def run(self) -> None:
        tries = 0

        def once() -> None:
            nonlocal tries
            tries += 1
            # the bytes may have arrived although the answer did not
            if tries == 1 or not self.registry.has_blob(self.blob.digest):
                self._send()

        self.registry.connection.retry(once)
        self._tell(self.blob.size)

    def _send(self) -> None:
        connection = self.registry.connection
        start = connection.once("POST", self.registry.path("blobs/uploads/"), (200, 201, 202))
        location = start.headers.get("location")
        if not location:
            raise EcomdeployError("the registry gave no upload location", where=connection.url)
        target = httpx.URL(urljoin(str(start.request.url), location)).copy_merge_params(
            {"digest": self.blob.digest}
        )
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(self.blob.size)}
        try:
            answer = connection.http.put(target, content=self._pieces(), headers=headers)
        except httpx.TransportError as problem:
            raise Again(f"{self.blob.digest[:19]}: {type(problem).__name__} {problem}".strip()) from problem
        if answer.status_code in (401, 404):
            # a token that ran out, or a session that a restarted registry forgot: the next try has new ones
            raise Again(f"upload of {self.blob.digest[:19]} -> {answer.status_code}")
        if answer.status_code == 400:
            # DIGEST_INVALID: either these bytes are broken here, or they broke on the way
            self.layout.verify(self.blob.digest)
            raise Again(f"upload of {self.blob.digest[:19]} -> 400")
        connection.judge(answer, (200, 201, 202, 204))

    def _pieces(self) -> Iterator[bytes]:
        done = 0
        with self.layout.open(self.blob.digest) as file:
            while piece := file.read(BLOCK):
                yield piece
                done += len(piece)
                self._tell(done)

    def _tell(self, done: int) -> None:
        """The bar only ever moves forward: a second try does not count bytes twice."""
        with self.lock:
            if done > self.told:
                self.advance(done - self.told)
                self.told = done
