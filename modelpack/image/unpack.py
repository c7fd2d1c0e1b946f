"""From an image's layers to a folder with its root file system: verified, without root, nothing outside touched.

Layer semantics: github.com/opencontainers/image-spec/blob/main/layer.md (whiteouts, hard links). Owners are not
applied, devices and pipes are left out, absolute symbolic links are made relative so that they stay inside the
folder even without chroot.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from modelpack.errors import EcomdeployError
from modelpack.image.blob import BlobSource, read, tar_stream
from modelpack.image.descriptor import Descriptor, layers_and_diff_ids
from modelpack.image.rooted import inside, parent_inside, relative_target

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"


def nothing(layer: Descriptor) -> bool:
    """Skip nothing."""
    return False


def unpack(
    source: BlobSource,
    manifest_digest: str,
    destination: Path,
    skip: Callable[[Descriptor], bool] = nothing,
) -> Path:
    """Unpack an image to `destination` and return it, without the layers to `skip`. Already there: nothing is done.

    Works in a folder beside it and renames at the end: the destination is whole or absent, whoever is killed,
    and two at once are fine. Raises EcomdeployError for a corrupted blob and for an entry that would leave it.
    """
    if destination.is_dir():
        return destination
    manifest: dict[str, Any] = json.loads(read(source, manifest_digest))
    pairs = layers_and_diff_ids(manifest, lambda digest: read(source, digest))
    destination.parent.mkdir(parents=True, exist_ok=True)
    work = destination.parent / f".unpack-{os.getpid()}-{secrets.token_hex(6)}"
    work.mkdir(mode=0o755)
    try:
        for layer, diff_id in pairs:
            if not skip(layer):
                _apply(source, layer, diff_id, work)
        _publish(work, destination)
    finally:
        if work.exists():
            remove(work)
    return destination


def _publish(work: Path, destination: Path) -> None:
    try:
        work.rename(destination)
    except OSError:
        # rename onto a folder that is not empty fails: somebody else was first, with the same bytes
        if not destination.is_dir():
            raise


def _apply(source: BlobSource, layer: Descriptor, diff_id: str, root: Path) -> None:
    """One layer over what is there already."""
    made: set[Path] = set()
    modes: list[tuple[Path, int]] = []
    try:
        with (
            tar_stream(source, layer, diff_id) as stream,
            tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 20) as tar,
        ):
            for member in tar:
                name = PurePosixPath(member.name)
                if name.name.startswith(WHITEOUT):
                    _white_out(root, name, made)
                else:
                    _place(tar, member, root, made, modes)
    except tarfile.TarError as problem:
        raise EcomdeployError(f"layer {layer.digest} is no readable tar: {problem}") from problem
    # a folder that is read-only must stay writable until its last entry is in
    for path, mode in modes:
        if path.is_dir() and not path.is_symlink():
            path.chmod(mode | 0o700)


def _place(
    tar: tarfile.TarFile, member: tarfile.TarInfo, root: Path, made: set[Path], modes: list[tuple[Path, int]]
) -> None:
    path = parent_inside(root, member.name)
    if path == root:
        return
    if member.isdir():
        if path.is_symlink() or not path.is_dir():
            _clear(path)
            path.mkdir()
        modes.append((path, member.mode & 0o7777))
    elif member.issym():
        target = relative_target(root, path, member.linkname)
        _clear(path)
        path.symlink_to(target)
    elif member.islnk():
        linked = inside(root, member.linkname)
        if linked.is_symlink() or not linked.is_file():
            raise EcomdeployError(
                f"hard link {member.name!r} points at {member.linkname!r}, which is no file there"
            )
        if linked != path:
            _clear(path)
            os.link(linked, path)
    elif member.isreg():
        _clear(path)
        _write(tar, member, path)
    else:
        return
    made.add(path)


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    content = tar.extractfile(member)
    assert content is not None, "regular members have content"
    # O_EXCL and O_NOFOLLOW: never write through a link, whatever appeared meanwhile
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)
        # no set-uid from an image ever lands on this machine
        os.fchmod(file.fileno(), member.mode & 0o1777 | 0o400)


def _white_out(root: Path, name: PurePosixPath, made: set[Path]) -> None:
    """Remove what lower layers brought; what this layer made stays."""
    if name.name == OPAQUE:
        folder = inside(root, str(name.parent))
        for child in folder.iterdir() if folder.is_dir() else ():
            if child not in made and not any(child in path.parents for path in made):
                _clear(child)
        return
    hidden = name.name.removeprefix(WHITEOUT)
    if hidden in ("", ".", ".."):
        raise EcomdeployError(f"whiteout {str(name)!r} names no file")
    _clear(parent_inside(root, str(name.parent / hidden)))


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        remove(path)
    else:
        path.unlink(missing_ok=True)


def remove(folder: Path) -> None:
    """Delete a tree, also where its folders are read-only."""
    for parent, _, _ in os.walk(folder):
        os.chmod(parent, 0o700)
    shutil.rmtree(folder)
