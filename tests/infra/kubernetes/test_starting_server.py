"""An API server that has only begun, as a real one says it: it is asked again for a while, and nothing else is."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from infra.kubernetes.client import KubernetesClient, KubernetesRefused

NO_PATHS = (
    404,
    "the request has been made before all known HTTP paths have been installed, please try again",
)
"""k8s.io/apiserver/pkg/util/notfoundhandler/not_found_handler.go, with its status."""
NO_STORAGE = (429, "storage is (re)initializing")
"""k8s.io/apiserver/pkg/storage/cacher/cacher.go, as errors.NewTooManyRequests."""
GONE = (404, 'configmaps "one" not found')
BROKEN = (500, "etcdserver: request timed out")


@contextmanager
def server(*refusals: tuple[int, str]) -> Iterator[tuple[str, list[str]]]:
    """One that refuses so often (for ever, if it is only one refusal), then answers; its address, what was asked."""
    asked: list[str] = []

    class Starting(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            number = len(asked)
            asked.append(f"{self.command} {self.path}")
            if number < len(refusals) or len(refusals) == 1:
                code, words = refusals[min(number, len(refusals) - 1)]
                said = {"kind": "Status", "status": "Failure", "message": words, "code": code}
            else:
                code, said = 200, {"kind": "ConfigMap", "number": number}
            body = json.dumps(said).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    made = ThreadingHTTPServer(("127.0.0.1", 0), Starting)
    thread = threading.Thread(target=made.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{made.server_port}", asked
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


def client(folder: Path, url: str, patience: float = 60) -> KubernetesClient:
    file = folder / "config"
    file.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "a", "cluster": {"server": url}}],
                "users": [{"name": "a", "user": {}}],
                "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
                "current-context": "a",
            }
        )
    )
    return KubernetesClient(file, patience=patience)


@pytest.mark.parametrize("verb", ["GET", "POST"])
def test_what_it_did_nothing_with_is_asked_again_until_it_answers(verb: str, tmp_path: Path) -> None:
    with server(NO_PATHS, NO_STORAGE, NO_PATHS) as (url, asked):
        body = None if verb == "GET" else {"kind": "ConfigMap"}
        assert client(tmp_path, url).request(verb, "/api/v1/one", body=body)["number"] == 3
    assert asked == [f"{verb} /api/v1/one"] * 4


@pytest.mark.parametrize("refusal", [GONE, BROKEN])
def test_any_other_refusal_is_told_at_once(refusal: tuple[int, str], tmp_path: Path) -> None:
    with server(refusal) as (url, asked), pytest.raises(KubernetesRefused) as told:
        client(tmp_path, url).request("POST", "/api/v1/one", body={})
    assert (told.value.status, str(told.value)) == refusal
    assert len(asked) == 1, "it may have done what was asked"


def test_one_that_never_starts_is_given_up_with_its_words(tmp_path: Path) -> None:
    with server(NO_PATHS) as (url, asked), pytest.raises(KubernetesRefused) as told:
        client(tmp_path, url, patience=0.4).request("GET", "/api/v1/one")
    assert "before all known HTTP paths have been installed" in str(told.value)
    assert asked
