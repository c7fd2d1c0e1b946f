"""The content digest: over every file of an image but the one that carries it (docs/architecture/rooms/image.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelpack.image.binaries.elf import LayerFacts, merge
from modelpack.image.oci.descriptor import encode
from modelpack.server.file_manifest import content_digest
from modelpack.server.hashing import FILE_MANIFEST

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


def document(files: Mapping[str, str]) -> bytes:
    """`files.json`."""
    return encode({"format": FORMAT, "content_digest": content_digest(files), "files": dict(files)})
