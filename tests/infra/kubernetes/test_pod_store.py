"""What the node agent makes of an API server's answers: a small HTTP server that refuses, behind the real client."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from infra.kubernetes.client import KubernetesClient, KubernetesRefused, KubernetesUnreachable, Object
from infra.rehearsal.cloud.kubernetes.node_agent.pod_store import KubernetesPodStore

POD: Object = {"metadata": {"name": "a", "namespace": "shop", "uid": "u"}}
VERBS = ["get", "patch", "delete"]
KINDS = [
    {"kind": kind, "name": plural, "namespaced": True, "verbs": VERBS}
    for kind, plural in (("Pod", "pods"), ("ConfigMap", "configmaps"))
]


class RefusingServer:
    """Answers discovery; everything else gets `status`, in the API server's words."""

    def __init__(self, folder: Path) -> None:
        self.status = 200
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        kubeconfig = folder / "kubeconfig"
        cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{self._server.server_port}"}}
        context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
        said = {"clusters": [cluster], "contexts": [context], "users": [{"name": "u", "user": {}}]}
        kubeconfig.write_text(json.dumps({"kind": "Config", "current-context": "c", **said}))
        self.client = KubernetesClient(kubeconfig)
        self.store = KubernetesPodStore(self.client)

    def close(self) -> None:
        self.client.close()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                asked = self.path == "/api/v1"
                status = 200 if asked else server.status
                refused = {"kind": "Status", "code": status, "message": "etcdserver: leader changed"}
                body = json.dumps(
                    {"resources": KINDS} if asked else refused if status >= 400 else {}
                ).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_PATCH = do_DELETE = do_GET

            def log_message(self, *_: object) -> None:
                pass

        return Answer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RefusingServer]:
    made = RefusingServer(tmp_path)
    yield made
    made.close()


CALLS: dict[str, Callable[[KubernetesPodStore], object]] = {
    "write_status": lambda store: store.write_status(POD, {"phase": "Running"}),
    "finish": lambda store: store.finish(POD),
    "values": lambda store: store.values("ConfigMap", "shop", "m"),
}


@pytest.mark.parametrize("call", CALLS)
def test_what_passes_is_as_no_answer(server: RefusingServer, call: str) -> None:
    CALLS[call](server.store)
    for server.status in (429, 500, 503, 504):
        with pytest.raises(KubernetesUnreachable, match="etcdserver: leader changed"):
            CALLS[call](server.store)
    for server.status in (403, 422):
        with pytest.raises(KubernetesRefused):
            CALLS[call](server.store)
    server.status = 404
    CALLS[call](server.store)
