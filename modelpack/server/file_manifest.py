"""`files.json` and the lists that it names: the files this container must consist of. What is measured is what the
server says it is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from modelpack.server.hashing import FILE_MANIFEST, HashedFiles, measure
from modelpack.server.signature import Unfit

MOST_NAMED = 3
T = TypeVar("T")


class FileManifest(msgspec.Struct, frozen=True):
    """`files`: path without leading slash -> sha256 hex. `lists`: further such files, by their own path and sha256."""

    format: int
    content_digest: str
    lists: dict[str, str]
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
    manifest = _read(root, FILE_MANIFEST, FileManifest)
    listed = dict(manifest.files)
    for path, written in measure(root, manifest.lists).items():
        if written != manifest.lists[path]:
            raise Unfit(f"{path} is not the list of files that was packed")
        listed |= _read(root, path, dict[str, str])
    paths = sorted(listed)
    found = hashed.take() if hashed else {}
    measured = found | measure(root, [path for path in paths if path not in found])
    wrong = [path for path in paths if measured[path] != listed[path]]
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


def _read(root: Path, path: str, form: type[T]) -> T:
    try:
        return msgspec.json.decode((root / path).read_bytes(), type=form)
    except (OSError, msgspec.MsgspecError) as problem:
        raise Unfit(f"{path}: {problem}") from None
