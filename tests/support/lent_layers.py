"""Layers of Debian packages and wheels, built once a run: another home has them as a second pack of its own would.

What tests the building itself (the same digest elsewhere, kills, `tests/modelpack/image`) takes none.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from pathlib import Path

RECORDS, BLOBS = "layers", "blobs/sha256"
PACKAGES = ("usr/", "opt/ecomdeploy/deps/")


def lend(shared: Path, images: Path) -> None:
    """Give a home's images what is shared."""
    for record in sorted((shared / RECORDS).glob("*.json")):
        copy_layer(record, shared, images)


def keep(images: Path, shared: Path) -> None:
    """Share what a home has built, once its test is over."""
    for record in sorted((images / RECORDS).glob("*.json")):
        if holds_packages(record) and not (shared / RECORDS / record.name).exists():
            copy_layer(record, images, shared)


def copy_layer(record: Path, source: Path, target: Path) -> None:
    """The blob before the record that names it; a record whose blob is gone is nobody's layer."""
    digest: str = json.loads(record.read_bytes())["descriptor"]["digest"]
    blob = source / BLOBS / digest.removeprefix("sha256:")
    if blob.is_file():
        copy_whole(blob, target / BLOBS)
        copy_whole(record, target / RECORDS)


def copy_whole(file: Path, folder: Path) -> None:
    """By rename, so that another worker sees all of it or nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".partial-{os.getpid()}-{secrets.token_hex(4)}"
    shutil.copyfile(file, partial)
    partial.replace(folder / file.name)


def holds_packages(record: Path) -> bool:
    """Whether a layer is of packages: not the server, a model, or the list of all files."""
    return any(path.startswith(PACKAGES) for path in json.loads(record.read_bytes())["files"])
