"""The content digest: over every file of an image but the one that carries it (docs/architecture/rooms/image.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from modelpack.image.binaries.elf import LayerFacts, merge
from modelpack.image.oci.descriptor import encode

FILE_MANIFEST = "opt/ecomdeploy/files.json"
FORMAT = 1
# container runtimes lay their own files over these, so what the image holds is never what the server would see
MOUNTED_FILES = frozenset({"etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab", ".dockerenv"})
MOUNTED_FOLDERS = ("proc/", "sys/", "dev/", "run/", "tmp/", "var/run/")


def listed_files(layers: Sequence[LayerFacts]) -> dict[str, str]:
    """Path -> sha256 hex of every file that any user can read in the image as it runs."""
    files, _, _ = merge(layers)
    private = {path for layer in layers for path in layer.private}
    return {
        path: digest
        for path, digest in files.items()
        if path not in MOUNTED_FILES
        and path not in private
        and not path.startswith(MOUNTED_FOLDERS)
        and path != FILE_MANIFEST
    }


def content_digest(files: Mapping[str, str]) -> str:
    """sha256 over the lines `<path>\\0<sha256 hex>\\n`, sorted by path."""
    lines = b"".join(f"{path}\0{files[path]}\n".encode() for path in sorted(files))
    return f"sha256:{hashlib.sha256(lines).hexdigest()}"


def document(files: Mapping[str, str]) -> bytes:
    """`files.json`."""
    return encode({"format": FORMAT, "content_digest": content_digest(files), "files": dict(files)})
