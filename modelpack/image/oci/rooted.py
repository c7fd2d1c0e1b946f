"""Paths of an image resolved below a folder that stands for its root: never outside, whatever links say."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from modelpack.errors import EcomdeployError

MOST_LINKS = 40


def parts_of(name: str) -> tuple[str, ...]:
    """The components of an entry's name, "./" and leading slashes dropped. Raises EcomdeployError on ".."."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts or "\0" in name:
        raise EcomdeployError(f"entry {name!r} leaves the image")
    return parts


def parent_inside(root: Path, name: str) -> Path:
    """Where an entry belongs: links in its parents followed inside the root, folders made where missing."""
    parts = parts_of(name)
    if not parts:
        return root
    folder = inside(root, "/".join(parts[:-1]))
    if not folder.is_dir():
        if os.path.lexists(folder):
            raise EcomdeployError(f"entry {name!r} lies below something that is no folder")
        folder.mkdir(parents=True, mode=0o755)
    return folder / parts[-1]


def inside(root: Path, name: str) -> Path:
    """Follow every link as a process with that root would; the result (last component too) lies inside it."""
    waiting = list(reversed(parts_of(name)))
    here: list[str] = []
    links = 0
    while waiting:
        part = waiting.pop()
        if part in ("", "."):
            continue
        if part == "..":
            here = here[:-1]
            continue
        path = root.joinpath(*here, part)
        if not path.is_symlink():
            here.append(part)
            continue
        links += 1
        if links > MOST_LINKS:
            raise EcomdeployError(f"entry {name!r}: too many links")
        target = os.readlink(path)
        if target.startswith("/"):
            here = []
        waiting += reversed(target.split("/"))
    return root.joinpath(*here)


def relative_target(root: Path, link: Path, target: str) -> str:
    """A link's target so that it stays inside the root without chroot: absolute becomes relative.

    Raises EcomdeployError for a relative target that climbs above the root.
    """
    depth = len(link.parent.relative_to(root).parts)
    if "\0" in target or not target:
        raise EcomdeployError(f"link {link.name!r} has no usable target")
    if target.startswith("/"):
        below = list(PurePosixPath(target).parts[1:])
        climbed = _climbs(below, 0)
        relative = "/".join([*[".."] * depth, *below]) or "."
    else:
        climbed = _climbs(target.split("/"), depth)
        relative = target
    if climbed:
        raise EcomdeployError(f"link {link.name!r} points at {target!r}, outside the image")
    return relative


def _climbs(parts: list[str], depth: int) -> bool:
    for part in parts:
        if part == "..":
            depth -= 1
        elif part not in ("", "."):
            depth += 1
        if depth < 0:
            return True
    return False
