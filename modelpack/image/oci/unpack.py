"""From an image's layers to a folder with its root file system: verified, without root, nothing outside touched.

Layer semantics: github.com/opencontainers/image-spec/blob/main/layer.md (whiteouts, hard links). Owners are not
applied, devices and pipes are left out, absolute symbolic links are made relative so that they stay inside the
folder even without chroot.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from modelpack.errors import EcomdeployError
from modelpack.image.oci.blob import BlobSource, read
from modelpack.image.oci.descriptor import Descriptor, decode, layers_and_diff_ids
from modelpack.image.oci.members import FILE, FOLDER, HARD_LINK, SYMLINK, Member, Members, Put, stream
from modelpack.image.oci.rooted import inside, parent_inside, relative_target

WHITEOUT = ".wh."
MOST_LAYERS = 127
"""About as many as container runtimes take (docs.docker.com/engine/storage/drivers/overlayfs-driver)."""
OPAQUE = ".wh..wh..opq"


def nothing(layer: Descriptor) -> bool:
    """Skip nothing."""
    return False


def unpack(
    source: BlobSource,
    manifest_digest: str,
    destination: Path,
    skip: Callable[[Descriptor], bool] = nothing,
    members: Members = stream,
) -> Path:
    """Unpack an image to `destination` and return it, without the layers to `skip`. Already there: nothing is done.
    `members` says where a layer's files come from: its blob, or layers kept before (`members.Kept`).

    Works in a folder beside it and renames at the end: the destination is whole or absent, whoever is killed,
    and two at once are fine. Raises EcomdeployError for a corrupted blob and for an entry that would leave it.
    """
    if destination.is_dir():
        return destination
    manifest = decode(read(source, manifest_digest))
    pairs = layers_and_diff_ids(manifest, lambda digest: read(source, digest))
    if len(pairs) > MOST_LAYERS:
        raise EcomdeployError(f"an image of {len(pairs):,} layers is refused; at most {MOST_LAYERS}")
    destination.parent.mkdir(parents=True, exist_ok=True)
    work = destination.parent / f".unpack-{os.getpid()}-{secrets.token_hex(6)}"
    work.mkdir(mode=0o755)
    try:
        for layer, diff_id in pairs:
            if not skip(layer):
                try:
                    _apply(members(source, layer, diff_id), work)
                except OSError as problem:
                    raise EcomdeployError(f"layer {layer.digest} cannot be unpacked: {problem}") from problem
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


def _apply(entries: Iterable[tuple[Member, Put]], root: Path) -> None:
    """One layer over what is there already."""
    made: set[Path] = set()
    modes: list[tuple[Path, int]] = []
    for member, put in entries:
        name = PurePosixPath(member.name)
        if name.name.startswith(WHITEOUT):
            _white_out(root, name, made)
        else:
            _place(member, put, root, made, modes)
    # a folder that is read-only must stay writable until its last entry is in
    for path, mode in modes:
        if path.is_dir() and not path.is_symlink():
            path.chmod(mode | 0o700)


def _place(member: Member, put: Put, root: Path, made: set[Path], modes: list[tuple[Path, int]]) -> None:
    path = parent_inside(root, member.name)
    if path == root:
        return
    if member.kind == FOLDER:
        if path.is_symlink() or not path.is_dir():
            _clear(path)
            path.mkdir()
        modes.append((path, member.mode))
    elif member.kind == SYMLINK:
        target = relative_target(root, path, member.target)
        _clear(path)
        path.symlink_to(target)
    elif member.kind == HARD_LINK:
        linked = inside(root, member.target)
        if linked.is_symlink() or not linked.is_file():
            raise EcomdeployError(
                f"hard link {member.name!r} points at {member.target!r}, which is no file there"
            )
        if linked != path:
            _clear(path)
            os.link(linked, path)
    elif member.kind == FILE:
        _clear(path)
        put(path)
    else:
        return
    made.add(path)


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
