"""A real image made of this machine's own interpreter, libraries and wheels, in the layout of our images.

Slower worlds build it from Debian packages; for the model host only the shape matters: nothing in it may come
from outside of it once it runs.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import sysconfig
import tarfile
from typing import Any

import uvicorn
from model_server import tree, write_file_manifest

from infra.rehearsal.cloud.registry import manifests
from infra.rehearsal.cloud.registry.registry import RegistryServer
from modelpack.inputs.server_files import server

LIBRARY_FOLDER = "usr/lib/x86_64-linux-gnu"
WHEELS = (
    "msgspec",
    "uvicorn",
    "httptools",
    "uvloop",
    "numpy",
    "numpy.libs",
    "onnxruntime",
    "click",
    "h11",
    "flatbuffers",
)
SKIPPED_STDLIB = {
    "site-packages",
    "test",
    "idlelib",
    "tkinter",
    "ensurepip",
    "__pycache__",
    "lib2to3",
    "config-3.11-x86_64-linux-gnu",
}


def build_interpreter(root: pathlib.Path) -> None:
    """Fill `root` with this machine's Python, without the libraries that it wants."""
    (root / LIBRARY_FOLDER).mkdir(parents=True)
    (root / "lib64").mkdir()
    (root / "usr/bin").mkdir()
    (root / "tmp").mkdir()
    standard = pathlib.Path(sysconfig.get_path("stdlib"))
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    _copy(pathlib.Path(os.path.realpath(sys.executable)), root / "usr/bin" / version)
    _copy_tree(standard, root / "usr/lib" / version, SKIPPED_STDLIB)
    (root / "usr/bin/python3").symlink_to(f"/usr/bin/{version}")


def add_libraries(root: pathlib.Path) -> None:
    """What the programs and extensions there want of this machine's shared libraries."""
    for needed in _needed(root):
        _copy(needed, root / LIBRARY_FOLDER / needed.name)
    (root / "lib64/ld-linux-x86-64.so.2").symlink_to(f"../{LIBRARY_FOLDER}/ld-linux-x86-64.so.2")


def build_root(root: pathlib.Path, **more: Any) -> str:
    """Fill `root` with an image's files; returns the content digest."""
    build_interpreter(root)
    site = pathlib.Path(uvicorn.__file__).parents[1]
    for name in WHEELS:
        if (site / name).is_dir():
            _copy_tree(site / name, root / "opt/ecomdeploy/deps" / name, {"__pycache__", "tests"})
    add_libraries(root)
    for name, source in server().items():
        _copy(source, root / "opt/ecomdeploy/app" / name)
    tree(root, **more)
    return write_file_manifest(root)


def _copy(source: pathlib.Path, target: pathlib.Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())
    target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)


def _copy_tree(source: pathlib.Path, target: pathlib.Path, skipped: set[str]) -> None:
    for folder, names, files in os.walk(source):
        names[:] = [name for name in names if name not in skipped]
        for file in files:
            path = pathlib.Path(folder) / file
            _copy(path, target / path.relative_to(source))


def _needed(root: pathlib.Path) -> set[pathlib.Path]:
    """The shared libraries of this machine that the copied programs and extensions want (by ldd)."""
    programs = [str(path) for path in root.rglob("*") if ".so" in path.name or path.parent.name == "bin"]
    programs = [path for path in programs if not os.path.islink(path)]
    listed = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False).stdout
    words = (word for line in listed.splitlines() if "(0x" in line for word in line.split())
    found = {pathlib.Path(word) for word in words if word.startswith("/")}
    return {path for path in found if str(root) not in str(path)}


def layer_of(root: pathlib.Path, *parts: str) -> bytes:
    """A tar of some top folders of `root`, owners zero."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for part in parts:
            archive.add(root / part, part, filter=_owned_by_root)
    return buffer.getvalue()


def _owned_by_root(item: tarfile.TarInfo) -> tarfile.TarInfo:
    item.uid = item.gid = 0
    item.uname = item.gname = ""
    return item


def push(registry: RegistryServer, repository: str, layers: list[bytes], tag: str = "v1", **more: Any) -> str:
    """Store an image with these layers; returns the manifest's digest. `more`: of its configuration ("User" ...)."""
    configuration = {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": ["/usr/bin/python3", "-m", "modelpack.server"],
            "Cmd": ["serve"],
            "Env": [
                "PATH=/usr/bin",
                "PYTHONPATH=/opt/ecomdeploy/app:/opt/ecomdeploy/deps",
                "LANG=C.UTF-8",
                "PYTHONDONTWRITEBYTECODE=1",
            ],
            "User": "65532:65532",
            "WorkingDir": "/",
            **more,
        },
        "rootfs": {
            "type": "layers",
            "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers],
        },
    }

    def stored(data: bytes, media: str) -> dict[str, Any]:
        digest = registry.blobs.put(data)
        registry.holdings.link(repository, digest)
        return {"mediaType": media, "digest": digest, "size": len(data)}

    manifest = {
        "schemaVersion": 2,
        "mediaType": manifests.IMAGE,
        "config": stored(json.dumps(configuration).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": [stored(layer, "application/vnd.oci.image.layer.v1.tar") for layer in layers],
    }
    return registry.put(repository, tag, json.dumps(manifest).encode(), manifests.IMAGE)
