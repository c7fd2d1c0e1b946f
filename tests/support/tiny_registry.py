"""A small OCI registry in memory on loopback, with the faults and habits of real ones on demand."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

PATH = re.compile(r"/v2/(?P<name>.+?)/(?P<kind>blobs|manifests|referrers|tags)/(?P<rest>.*)")


@dataclass
class TinyRegistry:
    """What it holds, how it behaves, and what it was asked. Blobs are per registry, not per repository."""

    url: str = ""
    repositories: set[str] = field(default_factory=set)
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    referrers_api: bool = True
    upload_status: int = 202
    password: tuple[str, str] | None = None
    bearer: str = ""
    refresh: str = ""
    cuts: int = 0
    cut_after: int = 100_000
    forgets_sessions: int = 0
    failures: list[tuple[str, int]] = field(default_factory=list)
    flips: int = 0
    asked: list[str] = field(default_factory=list)
    received: int = 0
    busy: int = 0
    busiest: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def referrers(self, digest: str) -> list[dict[str, Any]]:
        found = []
        for reference, (data, kind) in self.manifests.items():
            document = json.loads(data)
            if reference.startswith("sha256:") and document.get("subject", {}).get("digest") == digest:
                found.append(
                    {
                        "mediaType": kind,
                        "digest": reference,
                        "size": len(data),
                        "artifactType": document["artifactType"],
                    }
                )
        return found


class Handler(http.server.BaseHTTPRequestHandler):
    """One request. `registry` is set by `serving`."""

    protocol_version = "HTTP/1.1"
    registry: TinyRegistry

    def log_message(self, *arguments: object) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_one(self) -> None:
        registry = self.registry
        split = urlsplit(self.path)
        registry.asked.append(f"{self.command} {split.path}")
        if split.path == "/token":
            return self.token()
        if not self.allowed():
            return None
        for number, (method, status) in enumerate(registry.failures):
            if method == self.command:
                del registry.failures[number]
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                errors = {"errors": [{"code": "TRY", "message": "not now"}]}
                return self.answer(status, json.dumps(errors).encode(), Retry_After="0")
        found = PATH.fullmatch(split.path)
        if not found or found["name"] not in registry.repositories:
            errors = {"errors": [{"code": "NAME_UNKNOWN", "message": "no such repository"}]}
            return self.answer(404, json.dumps(errors).encode())
        getattr(self, found["kind"])(found["rest"], parse_qs(split.query))
        return None

    do_GET = do_HEAD = do_PUT = do_POST = handle_one

    def allowed(self) -> bool:
        registry, given = self.registry, self.headers.get("Authorization", "")
        if registry.bearer and given != f"Bearer {registry.bearer}":
            challenge = (
                f'Bearer realm="{registry.url}/token",service="tiny",scope="repository:shop:pull,push"'
            )
        elif registry.password and not registry.bearer and given != basic(registry.password):
            challenge = 'Basic realm="tiny"'
        else:
            return True
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(401, b"{}", WWW_Authenticate=challenge)
        return False

    def token(self) -> None:
        if self.registry.refresh:
            form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
            wanted = {
                "grant_type": ["refresh_token"],
                "refresh_token": [self.registry.refresh],
                "service": ["tiny"],
            }
            given = {name: form.get(name) for name in wanted}
            right = self.command == "POST" and given == wanted and "Authorization" not in self.headers
            return self.answer(
                200 if right else 401, json.dumps({"access_token": self.registry.bearer}).encode()
            )
        right = self.registry.password is None or self.headers.get("Authorization") == basic(
            self.registry.password
        )
        return self.answer(200 if right else 401, json.dumps({"token": self.registry.bearer}).encode())

    def tags(self, rest: str, query: dict[str, list[str]]) -> None:
        tags = [reference for reference in self.registry.manifests if ":" not in reference]
        self.answer(200, json.dumps({"tags": tags}).encode())

    def blobs(self, rest: str, query: dict[str, list[str]]) -> None:
        registry = self.registry
        if self.command == "POST":
            return self.answer(
                registry.upload_status, Location=f"/v2/shop/blobs/uploads/{len(registry.asked)}?state=x"
            )
        if self.command == "PUT":
            return self.upload(query)
        data = registry.blobs.get(rest)
        if data is None:
            return self.answer(404)
        if registry.flips and self.command == "GET":
            registry.flips -= 1
            data = data[:-1] + bytes([data[-1] ^ 1])
        return self.answer(200, data)

    def upload(self, query: dict[str, list[str]]) -> None:
        registry, length = self.registry, int(self.headers["Content-Length"])
        with registry.lock:
            registry.busy += 1
            registry.busiest = max(registry.busiest, registry.busy)
            cut = registry.cuts > 0 and length > registry.cut_after
            registry.cuts -= cut
            forgotten = registry.forgets_sessions > 0
            registry.forgets_sessions -= forgotten
        try:
            data = self.rfile.read(registry.cut_after if cut else length)
            registry.received += len(data)
            if cut:
                self.close_connection = True
                self.connection.close()
                return None
            if forgotten:
                return self.answer(404, b'{"errors": [{"code": "BLOB_UPLOAD_UNKNOWN", "message": ""}]}')
            digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
            if query["digest"] != [digest] or query.get("state") != ["x"]:
                return self.answer(400, b'{"errors": [{"code": "DIGEST_INVALID", "message": ""}]}')
            registry.blobs[digest] = data
            return self.answer(201, Location=f"/v2/shop/blobs/{digest}")
        finally:
            with registry.lock:
                registry.busy -= 1

    def manifests(self, rest: str, query: dict[str, list[str]]) -> None:
        registry = self.registry
        if self.command == "PUT":
            return self.take_manifest(rest)
        if rest not in registry.manifests:
            return self.answer(404)
        data, kind = registry.manifests[rest]
        return self.answer(200, data, Content_Type=kind, Docker_Content_Digest=digest_of(data))

    def take_manifest(self, rest: str) -> None:
        registry = self.registry
        data = self.rfile.read(int(self.headers["Content-Length"]))
        registry.received += len(data)
        document = json.loads(data)
        wanted = [document["config"], *document["layers"]] if "config" in document else []
        if any(blob["digest"] not in registry.blobs for blob in wanted):
            return self.answer(400, b'{"errors": [{"code": "MANIFEST_BLOB_UNKNOWN", "message": ""}]}')
        registry.manifests[rest] = registry.manifests[digest_of(data)] = (data, self.headers["Content-Type"])
        subject = document.get("subject", {}).get("digest")
        return self.answer(201, **({"OCI_Subject": subject} if subject and registry.referrers_api else {}))

    def referrers(self, rest: str, query: dict[str, list[str]]) -> None:
        if not self.registry.referrers_api:
            return self.answer(404)
        return self.answer(200, json.dumps({"manifests": self.registry.referrers(rest)}).encode())


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def basic(password: tuple[str, str]) -> str:
    return "Basic " + base64.b64encode(":".join(password).encode()).decode()


@contextlib.contextmanager
def serving(**behaviour: Any) -> Iterator[TinyRegistry]:
    """A registry with a repository "shop", until the block ends."""
    registry = TinyRegistry(repositories={"shop"}, **behaviour)
    handler = type("Bound", (Handler,), {"registry": registry})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    registry.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
