"""`files.json`: the files this container must consist of. What is measured is what the server says it is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from modelpack.server.hashing import FILE_MANIFEST, HashedFiles, measure
from modelpack.server.signature import Unfit

MOST_NAMED = 3


class FileManifest(msgspec.Struct, frozen=True):
    """`files`: path without leading slash -> sha256 hex."""

    format: int
    content_digest: str
    files: dict[str, str]


def content_digest(files: Mapping[str, str]) -> str:
    """sha256 over the lines `<path>\\0<sha256 hex>\\n`, sorted by path."""
    total = hashlib.sha256()
    for path in sorted(files):
        total.update(f"{path}\0{files[path]}\n".encode())
    return f"sha256:{total.hexdigest()}"


def check(root: Path, hashed: HashedFiles | None = None) -> str:
    """Hash every listed file below `root` and return the content digest of what was found. `hashed`: what is on its way
    already.

    Raises `Unfit` naming the files that are missing or changed, or when the manifest itself is.
    """
    try:
        manifest = msgspec.json.decode((root / FILE_MANIFEST).read_bytes(), type=FileManifest)
    except (OSError, msgspec.MsgspecError) as problem:
        raise Unfit(f"{FILE_MANIFEST}: {problem}") from None
    paths = sorted(manifest.files)
    found = hashed.take() if hashed else {}
    measured = found | measure(root, [path for path in paths if path not in found])
    wrong = [path for path in paths if measured[path] != manifest.files[path]]
    if wrong:
        named = ", ".join(
            f"{path} ({'changed' if measured[path] else 'missing'})" for path in wrong[:MOST_NAMED]
        )
        raise Unfit(f"{len(wrong)} of {len(paths)} files are not those that were packed: {named}")
    digest = content_digest({path: measured[path] for path in paths})
    if digest != manifest.content_digest:
        raise Unfit(
            f"the files have content digest {digest}, the file manifest says {manifest.content_digest}"
        )
    return digest
