"""An OCI registry as a WSGI application: distribution spec 1.1, storage on disk.

Mount it with any threaded WSGI server. It asks `Repositories` whether a name exists and tells it what was
pushed and deleted. Behind waitress raise `max_request_body_size` above the largest layer (default 1 GiB).
Source: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from werkzeug.wrappers import Request, Response

from infra.rehearsal.cloud.registry import blob_routes as registry_blobs
from infra.rehearsal.cloud.registry import manifests
from infra.rehearsal.cloud.registry.answers import RegistryError, json_answer, page
from infra.rehearsal.cloud.registry.holdings import ManifestEntry
from infra.rehearsal.cloud.registry.repositories import Push, Repositories
from infra.rehearsal.cloud.registry.storage import Storage
from modelpack.image.oci.descriptor import DIGEST, digest_of

COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
NAME = rf"(?P<name>{COMPONENT}(?:/{COMPONENT})*)"
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


class RegistryServer(Storage):
    """The WSGI application. Other threads may call its methods while it serves."""

    def __init__(self, root: Path, repositories: Repositories) -> None:
        super().__init__(root, repositories)
        self._routes: tuple[tuple[re.Pattern[str], Callable[..., Response]], ...] = (
            (re.compile(r"/v2/?"), lambda request: json_answer({})),
            (re.compile(r"/v2/_catalog"), self._catalogue),
            (re.compile(rf"/v2/{NAME}/tags/list"), self._tags),
            (re.compile(rf"/v2/{NAME}/referrers/(?P<digest>[^/]+)"), self._referrers),
            (re.compile(rf"/v2/{NAME}/manifests/(?P<reference>[^/]+)"), self._manifest),
            (re.compile(rf"/v2/{NAME}/blobs/uploads/(?P<upload>[^/]*)"), self._upload),
            (re.compile(rf"/v2/{NAME}/blobs/(?P<digest>[^/]+)"), self._blob),
        )

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        try:
            answer = self._answer(request)
        except RegistryError as refused:
            answer = refused.answer()
        answer.headers["Docker-Distribution-API-Version"] = "registry/2.0"
        pieces: Iterable[bytes] = answer(environ, start_response)
        return pieces

    def _answer(self, request: Request) -> Response:
        for pattern, handler in self._routes:
            if match := pattern.fullmatch(request.path):
                name = match.groupdict().get("name")
                if name is not None and not self.repositories.exists(name):
                    raise RegistryError(404, "NAME_UNKNOWN", f"repository {name} does not exist")
                return handler(request, **match.groupdict())
        raise RegistryError(404, "UNSUPPORTED", f"no such path: {request.path}")

    # ---- what other rooms call ----

    def images(self, repository: str) -> tuple[Push, ...]:
        """All stored manifests of a repository with their tags, referrers included."""
        with self.lock:
            return tuple(self.holdings.push(repository, entry) for entry in self.holdings.entries(repository))

    def has(self, repository: str, reference: str) -> bool:
        """Whether a tag or digest names a stored manifest."""
        return self.holdings.resolve(repository, reference) is not None

    def put(self, repository: str, reference: str, data: bytes, media_type: str) -> str:
        """Store a manifest as a PUT of it does; returns its digest. Raises `RegistryError`."""
        try:
            listed = manifests.read(data, media_type)
        except manifests.Unreadable as problem:
            raise RegistryError(400, "MANIFEST_INVALID", str(problem)) from None
        immutable = self.repositories.immutable_tags(repository)
        with self.lock:
            self._check_listed(repository, listed)
            self._check_reference(repository, reference, digest_of(data), immutable)
            digest = self.blobs.put(data)
            entry = self.holdings.get(repository, digest) or ManifestEntry(
                digest=digest,
                media_type=media_type,
                size=len(data) + listed.listed_size,
                artifact_type=listed.artifact_type,
                subject=listed.subject,
                annotations=listed.annotations,
            )
            entry = replace(entry, pushed_at=datetime.now(UTC).isoformat())
            self.holdings.put(repository, entry)
            if not reference.startswith("sha256:"):
                self.holdings.tag(repository, reference, digest)
            push = self.holdings.push(repository, entry)
        self.repositories.on_push(push)
        return digest

    def delete(self, repository: str, reference: str) -> None:
        """Take off a tag, or delete the manifest of a digest with all its tags. Raises `RegistryError`."""
        with self.lock:
            entry = self._resolve(repository, reference)
            if reference.startswith("sha256:"):
                tags = tuple(
                    tag for tag, digest in self.holdings.tags(repository).items() if digest == entry.digest
                )
                self.holdings.drop(repository, entry.digest)
            else:
                tags = (reference,)
            for tag in tags:
                self.holdings.untag(repository, tag)
        self.repositories.on_delete(repository, entry.digest, tags)

    def forget(self, repository: str) -> None:
        """The repository was deleted by its owner: drop all that only it held. Tells nobody."""
        with self.lock:
            self.holdings.forget(repository)
            self.holdings.collect()

    def reset(self) -> None:
        """Forget every repository."""
        with self.lock:
            for name in self.holdings.repositories():
                self.holdings.forget(name)
            self.holdings.collect()

    def _check_reference(self, name: str, reference: str, digest: str, immutable: bool) -> None:
        if reference.startswith("sha256:"):
            if reference != digest:
                raise RegistryError(
                    400, "DIGEST_INVALID", f"the manifest's digest is {digest}, not {reference}"
                )
            return
        if not TAG.fullmatch(reference):
            raise RegistryError(400, "MANIFEST_INVALID", f"not a tag or a sha256 digest: {reference!r}")
        held = self.holdings.tags(name).get(reference, digest)
        if held != digest and immutable:
            raise RegistryError(409, "DENIED", f"tag {reference} exists and tags of {name} are immutable")

    def _check_listed(self, name: str, listed: manifests.Listed) -> None:
        missing = [digest for digest in listed.blobs if not self.holdings.holds(name, digest)]
        if missing:
            raise RegistryError(404, "MANIFEST_BLOB_UNKNOWN", f"blobs not in {name}: {', '.join(missing)}")
        missing = [digest for digest in listed.manifests if not self.holdings.get(name, digest)]
        if missing:
            raise RegistryError(404, "MANIFEST_UNKNOWN", f"manifests not in {name}: {', '.join(missing)}")

    def _resolve(self, name: str, reference: str) -> ManifestEntry:
        entry = self.holdings.resolve(name, reference)
        if entry is None:
            raise RegistryError(404, "MANIFEST_UNKNOWN", f"{name} has no manifest {reference}")
        return entry

    # ---- routes ----

    def _manifest(self, request: Request, name: str, reference: str) -> Response:
        if request.method == "PUT":
            data = request.stream.read(manifests.LIMIT + 1)
            digest = self.put(name, reference, data, request.mimetype)
            headers = {"Location": f"/v2/{name}/manifests/{digest}", "Docker-Content-Digest": digest}
            entry = self.holdings.get(name, digest)
            if entry and entry.subject:
                headers["OCI-Subject"] = entry.subject
            return Response(status=201, headers=headers)
        if request.method == "DELETE":
            self.delete(name, reference)
            return Response(status=202)
        if request.method not in ("GET", "HEAD"):
            raise RegistryError(405, "UNSUPPORTED", f"{request.method} on a manifest")
        entry = self._resolve(name, reference)
        headers = {"Docker-Content-Digest": entry.digest, "Etag": f'"{entry.digest}"'}
        return Response(self.blobs.read(entry.digest), content_type=entry.media_type, headers=headers)

    def _tags(self, request: Request, name: str) -> Response:
        names, headers = page(request, tuple(self.holdings.tags(name)))
        return json_answer({"name": name, "tags": names}, headers=headers)

    def _catalogue(self, request: Request) -> Response:
        held = tuple(name for name in self.holdings.repositories() if self.repositories.exists(name))
        names, headers = page(request, held)
        return json_answer({"repositories": names}, headers=headers)

    def _referrers(self, request: Request, name: str, digest: str) -> Response:
        if not DIGEST.fullmatch(digest):
            raise RegistryError(400, "DIGEST_INVALID", f"not a sha256 digest: {digest!r}")
        wanted = request.args.get("artifactType")
        found = [
            {
                "mediaType": entry.media_type,
                "digest": entry.digest,
                "size": self.blobs.size(entry.digest),
                "artifactType": entry.artifact_type,
                **({"annotations": entry.annotations} if entry.annotations else {}),
            }
            for entry in self.holdings.entries(name)
            if entry.subject == digest and wanted in (None, entry.artifact_type)
        ]
        headers = {"OCI-Filters-Applied": "artifactType"} if wanted else {}
        document = {"schemaVersion": 2, "mediaType": manifests.INDEX, "manifests": found}
        return json_answer(document, content_type=manifests.INDEX, headers=headers)

    def _blob(self, request: Request, name: str, digest: str) -> Response:
        return registry_blobs.blob(self.blobs, self.holdings, request, name, digest)

    def _upload(self, request: Request, name: str, upload: str) -> Response:
        return registry_blobs.upload(self, request, name, upload)
