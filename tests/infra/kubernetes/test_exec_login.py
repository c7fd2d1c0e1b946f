"""Tokens of a kubeconfig's program, and which file of several is read."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from infra.kubernetes.client import KubernetesClient, KubernetesRefused
from infra.kubernetes.kubeconfig import find_kubeconfig
from modelpack.errors import BadInput, CloudRefused

VERSION = "client.authentication.k8s.io/v1"


class Api(BaseHTTPRequestHandler):
    """Takes one token, and no other."""

    token: ClassVar[str] = "second"

    def do_GET(self) -> None:
        known = self.headers.get("Authorization") == f"Bearer {self.token}"
        said = b"{}" if known else b'{"kind": "Status", "message": "Unauthorized", "reason": "Unauthorized"}'
        self.send_response(200 if known else 401)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def kubeconfig(folder: Path, server: str, body: str, version: str = VERSION) -> Path:
    program = folder / "gives-tokens"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    asked = {
        "apiVersion": version,
        "command": str(program),
        "args": ["get"],
        "env": [{"name": "SHOP", "value": "eu"}],
        "interactiveMode": "Never",
        "provideClusterInfo": True,
    }
    return write(folder / "config", server, {"exec": asked})


def write(file: Path, server: str, user: dict[str, Any], context: str = "shop") -> Path:
    config = {
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": context, "context": {"cluster": "c", "user": "u"}}],
        "current-context": context,
    }
    file.write_text(json.dumps(config))
    return file


def test_the_program_is_asked_again_once_its_token_is_not_taken_any_more(tmp_path: Path, server: str) -> None:
    body = (
        f'echo "$KUBERNETES_EXEC_INFO" > {tmp_path}/told; echo "$1 $SHOP" >> {tmp_path}/asked\n'
        f"if [ -e {tmp_path}/before ]; then T=second; else T=first; fi; touch {tmp_path}/before\n"
        f'echo "{{\\"apiVersion\\": \\"{VERSION}\\", \\"status\\": {{\\"token\\": \\"$T\\"}}}}"'
    )
    client = KubernetesClient(kubeconfig(tmp_path, server, body), "shop")
    with pytest.raises(KubernetesRefused):  # a token that is not taken the first time is not asked for twice
        client.text("/version")
    assert client.text("/version") == "{}"
    assert client.text("/version") == "{}"
    assert (tmp_path / "asked").read_text().splitlines() == ["get eu", "get eu"]
    told = json.loads((tmp_path / "told").read_text())
    assert (told["apiVersion"], told["spec"]["cluster"]["server"]) == (VERSION, server)


@pytest.mark.parametrize(
    ("body", "version", "said"),
    [
        ("echo expired >&2; exit 1", VERSION, "gives no token: expired"),
        ("echo hello", VERSION, "has no token"),
        ("echo '{}'", VERSION, "has no token"),
        ("true", "client.authentication.k8s.io/v1alpha1", "speaks client.authentication.k8s.io/v1alpha1"),
    ],
)
def test_a_program_that_gives_none_is_told(
    tmp_path: Path, server: str, body: str, version: str, said: str
) -> None:
    with pytest.raises(CloudRefused, match=said):
        KubernetesClient(kubeconfig(tmp_path, server, body, version), "shop").text("/version")


def test_a_program_that_is_not_there_is_told(tmp_path: Path, server: str) -> None:
    config = kubeconfig(tmp_path, server, "true")
    (tmp_path / "gives-tokens").unlink()
    with pytest.raises(CloudRefused, match="does not run"):
        KubernetesClient(config, "shop").text("/version")


def test_of_several_files_the_one_with_the_context_is_read(tmp_path: Path) -> None:
    first = write(tmp_path / "one", "https://127.0.0.1:9", {}, "one")
    second = write(tmp_path / "two", "https://127.0.0.1:9", {}, "two")
    listed = {"KUBECONFIG": os.pathsep.join([str(tmp_path / "none"), str(first), str(second)])}
    assert find_kubeconfig(listed, "two") == second
    assert find_kubeconfig(listed, "one") == first
    assert find_kubeconfig(listed, "unknown") == first
    assert find_kubeconfig(listed) == first
    (tmp_path / ".kube").mkdir()
    home = write(tmp_path / ".kube" / "config", "https://127.0.0.1:9", {})
    assert find_kubeconfig({"HOME": str(tmp_path)}) == home
    with pytest.raises(BadInput, match="there is no kubeconfig"):
        find_kubeconfig({"KUBECONFIG": str(tmp_path / "none")})
