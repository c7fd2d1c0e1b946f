"""The registry's blob routes: pull (with ranges), delete, uploads (whole, chunked, resumed), mounts."""

from __future__ import annotations

import re

from werkzeug.wrappers import Request, Response

from infra.rehearsal.cloud.registry.answers import RegistryError
from infra.rehearsal.cloud.registry.blobs import Blobs, DigestMismatch, WrongOffset
from infra.rehearsal.cloud.registry.holdings import Holdings
from infra.rehearsal.cloud.registry.storage import Storage
from modelpack.image.oci.descriptor import DIGEST

CONTENT_RANGE = re.compile(r"(?:bytes )?(\d{1,15})-(\d{1,15})(?:/.*)?", re.ASCII)
RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})", re.ASCII)


def blob(blobs: Blobs, holdings: Holdings, request: Request, name: str, digest: str) -> Response:
    """GET, HEAD, DELETE of one blob."""
    if not DIGEST.fullmatch(digest):
        raise RegistryError(400, "DIGEST_INVALID", f"not a sha256 digest: {digest!r}")
    # a manifest may be read as a blob too, as other registries allow
    if not holdings.holds(name, digest) and holdings.get(name, digest) is None:
        raise RegistryError(404, "BLOB_UNKNOWN", f"{name} has no blob {digest}")
    if request.method == "DELETE":
        holdings.unlink(name, digest)
        return Response(status=202)
    if request.method not in ("GET", "HEAD"):
        raise RegistryError(405, "UNSUPPORTED", f"{request.method} on a blob")
    size = blobs.size(digest)
    start, end, status = _read_range(request, size)
    headers = {
        "Docker-Content-Digest": digest,
        "Etag": f'"{digest}"',
        "Accept-Ranges": "bytes",
        "Content-Length": str(end - start),
    }
    if status == 206:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    body = () if request.method == "HEAD" else blobs.stream(digest, start, end - start)
    return Response(body, status=status, headers=headers, content_type="application/octet-stream")


def _read_range(request: Request, size: int) -> tuple[int, int, int]:
    """Start, end (exclusive), status for the Range header (RFC 9110 section 14; only one range)."""
    match = RANGE.fullmatch(request.headers.get("Range", ""))
    if match is None or match.group(1) == match.group(2) == "":
        return 0, size, 200
    first, last = match.groups()
    if first == "":
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1 if last else size)
    if start >= end:
        raise RegistryError(
            416, "RANGE_INVALID", f"the blob has {size} bytes", {"Content-Range": f"bytes */{size}"}
        )
    return start, end, 206


def upload(storage: Storage, request: Request, name: str, identifier: str) -> Response:
    """POST starts (or does all of it), PATCH appends, PUT ends, GET tells the offset, DELETE gives up."""
    try:
        if request.method == "POST" and not identifier:
            return _start(storage, request, name)
        if request.method == "PATCH":
            return _append(storage, request, name, identifier)
        if request.method == "PUT":
            return _finish(storage, request, name, identifier)
        if request.method == "GET":
            return _progress(name, identifier, storage.uploads.offset(identifier), 204)
        if request.method == "DELETE":
            storage.uploads.cancel(identifier)
            return Response(status=204)
    except FileNotFoundError:
        raise RegistryError(404, "BLOB_UPLOAD_UNKNOWN", f"no such upload: {identifier}") from None
    except WrongOffset as wrong:
        headers = dict(_progress(name, identifier, wrong.expected, 416).headers)
        raise RegistryError(
            416, "BLOB_UPLOAD_INVALID", f"go on at offset {wrong.expected}", headers
        ) from None
    raise RegistryError(405, "UNSUPPORTED", f"{request.method} on an upload")


def _start(storage: Storage, request: Request, name: str) -> Response:
    digest = request.args.get("digest")
    if digest is not None:
        identifier = storage.uploads.start()
        storage.uploads.append(identifier, request.stream, None)
        return _store(storage, name, identifier, digest)
    mount = request.args.get("mount", "")
    if storage.blobs.has(mount) and _mountable(storage, mount, request.args.get("from")):
        with storage.lock:
            storage.holdings.link(name, mount)
        return _answer_stored(name, mount)
    return _progress(name, storage.uploads.start(), 0, 202)


def _mountable(storage: Storage, digest: str, source: str | None) -> bool:
    sources = (source,) if source else storage.holdings.repositories()
    return any(storage.repositories.exists(name) and storage.holdings.holds(name, digest) for name in sources)


def _append(storage: Storage, request: Request, name: str, identifier: str) -> Response:
    start = None
    if text := request.headers.get("Content-Range"):
        match = CONTENT_RANGE.fullmatch(text)
        if match is None:
            raise RegistryError(400, "BLOB_UPLOAD_INVALID", f"Content-Range {text!r} is not <start>-<end>")
        start = int(match.group(1))
    offset = storage.uploads.append(identifier, request.stream, start)
    return _progress(name, identifier, offset, 202)


def _finish(storage: Storage, request: Request, name: str, identifier: str) -> Response:
    digest = request.args.get("digest", "")
    _append(storage, request, name, identifier)
    return _store(storage, name, identifier, digest)


def _store(storage: Storage, name: str, identifier: str, digest: str) -> Response:
    if not DIGEST.fullmatch(digest):
        storage.uploads.cancel(identifier)
        raise RegistryError(400, "DIGEST_INVALID", f"not a sha256 digest: {digest!r}")
    try:
        # the lock keeps a sweep of unheld blobs from taking this one before it is linked
        with storage.lock:
            storage.uploads.finish(identifier, digest, storage.blobs)
            storage.holdings.link(name, digest)
    except DigestMismatch:
        raise RegistryError(400, "DIGEST_INVALID", f"the bytes sent are not {digest}") from None
    return _answer_stored(name, digest)


def _answer_stored(name: str, digest: str) -> Response:
    headers = {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest}
    return Response(status=201, headers=headers)


def _progress(name: str, identifier: str, offset: int, status: int) -> Response:
    headers = {
        "Location": f"/v2/{name}/blobs/uploads/{identifier}",
        "Docker-Upload-UUID": identifier,
        # the spec's range is inclusive; for an empty upload registries answer 0-0
        "Range": f"0-{max(0, offset - 1)}",
    }
    return Response(status=status, headers=headers)
