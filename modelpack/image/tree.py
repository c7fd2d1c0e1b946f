"""A layer's content before it is bytes: entries by path, from files, bytes or archives, with modes made equal."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from modelpack.errors import EcomdeployError
from modelpack.image.oci.rooted import parts_of

Kind = Literal["file", "folder", "link"]


@dataclass(frozen=True)
class Entry:
    """One file, folder or symbolic link. `path` has no leading slash; `size` in bytes; `target` for links.

    `open` may be called more than once and gives `size` bytes each time.
    """

    path: str
    kind: Kind
    mode: int
    size: int = 0
    target: str = ""
    open: Callable[[], IO[bytes]] = io.BytesIO


def normal_mode(executable: bool) -> int:
    """0755 or 0644: what umask, owner or set-uid bits stood on the source does not reach the image."""
    return 0o755 if executable else 0o644


def folder(path: str, mode: int = 0o755) -> Entry:
    return Entry(_clean(path), "folder", mode)


def link(path: str, target: str) -> Entry:
    return Entry(_clean(path), "link", 0o777, target=target)


def of_bytes(path: str, data: bytes, executable: bool = False) -> Entry:
    return Entry(_clean(path), "file", normal_mode(executable), len(data), open=lambda: io.BytesIO(data))


def of_opener(path: str, opener: Callable[[], IO[bytes]], size: int, executable: bool = False) -> Entry:
    """A file of `size` bytes that `opener` opens, e.g. one in an archive."""
    return Entry(_clean(path), "file", normal_mode(executable), size, open=opener)


def of_file(path: str, source: Path, executable: bool = False) -> Entry:
    """A file of this machine; only its bytes matter. Raises EcomdeployError when it is not there."""
    try:
        size = source.stat().st_size
    except OSError as problem:
        raise EcomdeployError(f"cannot read {source}: {problem.strerror}") from None
    return Entry(_clean(path), "file", normal_mode(executable), size, open=lambda: source.open("rb"))


def of_mapping(prefix: str, files: Mapping[str, Path | bytes]) -> tuple[Entry, ...]:
    """Entries below `prefix` for files or bytes by relative path."""
    return tuple(
        of_bytes(f"{prefix}/{path}", source)
        if isinstance(source, bytes)
        else of_file(f"{prefix}/{path}", source)
        for path, source in sorted(files.items())
    )


def complete(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Sorted by path, parent folders added where missing, the last of equal paths kept.

    Raises EcomdeployError when a path that is no folder has entries below it.
    """
    chosen: dict[str, Entry] = {}
    for entry in entries:
        chosen[entry.path] = entry
    for path in list(chosen):
        for parent in PurePosixPath(path).parents:
            name = str(parent)
            if name != "." and chosen.setdefault(name, folder(name)).kind != "folder":
                raise EcomdeployError(f"{name} is no folder and {path} lies below it")
    # by components, so that a folder stands right before what it holds
    return tuple(sorted(chosen.values(), key=lambda entry: entry.path.split("/")))


def _clean(path: str) -> str:
    parts = parts_of(path)
    if not parts:
        raise EcomdeployError(f"{path!r} names no file")
    return "/".join(parts)
