"""`files.json`: the files this container must consist of. What is measured is what the server says it is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from modelpack.server.signature import Unfit

FILE_MANIFEST = "opt/ecomdeploy/files.json"
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


def check(root: Path, threads: int = 2) -> str:
    """Hash every listed file below `root` and return the content digest of what was found.

    Raises `Unfit` naming the files that are missing or changed, or when the manifest itself is.
    """
    try:
        manifest = msgspec.json.decode((root / FILE_MANIFEST).read_bytes(), type=FileManifest)
    except (OSError, msgspec.MsgspecError) as problem:
        raise Unfit(f"{FILE_MANIFEST}: {problem}") from None
    paths = sorted(manifest.files)
    with ThreadPoolExecutor(threads) as pool:
        # hashing releases the interpreter lock; interleaved shares even out the sizes
        shares = list(
            pool.map(lambda share: _measure(root, share), [paths[n::threads] for n in range(threads)])
        )
    measured = {path: digest for share in shares for path, digest in share.items()}
    wrong = [path for path in paths if measured[path] != manifest.files[path]]
    if wrong:
        named = ", ".join(
            f"{path} ({'changed' if measured[path] else 'missing'})" for path in wrong[:MOST_NAMED]
        )
        raise Unfit(f"{len(wrong)} of {len(paths)} files are not those that were packed: {named}")
    found = content_digest(measured)
    if found != manifest.content_digest:
        raise Unfit(
            f"the files have content digest {found}, the file manifest says {manifest.content_digest}"
        )
    return found


def _measure(root: Path, paths: Sequence[str]) -> dict[str, str]:
    """Path -> sha256 hex, "" for a file that cannot be read."""
    found: dict[str, str] = {}
    base = str(root)
    for path in paths:
        try:
            with open(f"{base}/{path}", "rb", buffering=0) as file:
                found[path] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            found[path] = ""
    return found
