"""Images of a word that a pod can run: this machine's Python and a server of a page. For what runs on a cluster."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from word_builder import OCI, WordBuilder, pack_that_says

from modelpack.home import Home
from modelpack.image.oci.layout import Layout
from stacks.records.release import Packed

SERVER = """
import json, os, signal, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORD = open("/word").read()


class Model(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self.say({})

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.say({"predictions": [{"digest": WORD, "score": 0.5}]})

    def say(self, told):
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Amzn-SageMaker-Custom-Attributes", WORD)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))), Model)
server.daemon_threads = True
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever(0.1)
"""


def write_base(home: Home, folder: Path) -> None:
    """Put the layer that all these images begin with into the home's store, and remember it."""
    from small_image import add_libraries, build_interpreter, layer_of

    root = folder / "root"
    build_interpreter(root)
    add_libraries(root)
    (root / "server.py").write_text(SERVER)
    data = layer_of(root, "usr", "lib64", "tmp", "server.py")
    layer = describe(Layout(home.images), data)
    (home.root / "base-layer.json").write_text(json.dumps(layer))


def describe(layout: Layout, data: bytes) -> dict[str, Any]:
    """Keep a layer; its descriptor and, as `diff`, its digest when it is unpacked."""
    packed = gzip.compress(data, 1, mtime=0)
    digest = layout.put(packed)
    return {
        "mediaType": f"{OCI}.layer.v1.tar+gzip",
        "digest": digest,
        "size": len(packed),
        "diff": f"sha256:{hashlib.sha256(data).hexdigest()}",
    }


@dataclass(frozen=True)
class PodBuilder(WordBuilder):
    """As WordBuilder's, and a pod runs it. The answers' digest follows from the word, not from the image."""

    def pack(self) -> Packed:
        layout = Layout(self.home.images)
        base = json.loads((self.home.root / "base-layer.json").read_text())
        word = f"sha256:{hashlib.sha256(self.word.encode()).hexdigest()}"
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as archive:
            member = tarfile.TarInfo("word")
            member.size = len(word)
            archive.addfile(member, io.BytesIO(word.encode()))
        layers = [base, describe(layout, tar.getvalue())]
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {
                    "Entrypoint": ["/usr/bin/python3", "-E", "-s", "/server.py"],
                    "Env": ["PATH=/usr/bin"],
                    "User": "65532:65532",
                    "WorkingDir": "/",
                },
                "rootfs": {"type": "layers", "diff_ids": [one.pop("diff") for one in layers]},
            }
        ).encode()
        document = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": {
                "mediaType": f"{OCI}.config.v1+json",
                "digest": layout.put(config),
                "size": len(config),
            },
            "layers": layers,
        }
        digest = layout.put_manifest(document).digest
        return pack_that_says(digest, word, self.word)
