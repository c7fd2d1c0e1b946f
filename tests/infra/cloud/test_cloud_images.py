"""Unpacked images of the local cloud: shared layers, swept with the images that need them, replaced when damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from layers import image_of, member

from infra.rehearsal.cloud.registry.blobs import Blobs
from infra.rehearsal.cloud.servers.host import ServerFailed
from infra.rehearsal.cloud.servers.images import LAYERS, UnpackedImages

BASE = [member("usr/bin/python3", b"interpreter")]


def kept(folder: Path) -> set[str]:
    return {path.name for path in (folder / LAYERS).iterdir()}


def test_a_sweep_leaves_the_layers_of_the_images_that_are_left(tmp_path: Path) -> None:
    layout, first = image_of(tmp_path / "registry", BASE, [member("model", b"first")])
    _, second = image_of(tmp_path / "registry", BASE, [member("model", b"second")])
    images = UnpackedImages(tmp_path / "trees", Blobs(layout.root))
    one, two = images.tree(first), images.tree(second)
    assert (one.path / "usr/bin/python3").samefile(two.path / "usr/bin/python3")
    assert len(kept(tmp_path / "trees")) == 3
    layout.path(second).unlink()
    (tmp_path / "trees" / ".unpack-1-ab").mkdir()
    UnpackedImages(tmp_path / "trees", Blobs(layout.root)).sweep()
    assert sorted(path.name for path in (tmp_path / "trees").iterdir()) == sorted([LAYERS, one.path.name])
    wanted = {layer["digest"].removeprefix("sha256:") for layer in layout.manifest(first)["layers"]}
    assert kept(tmp_path / "trees") == wanted


def test_what_was_damaged_is_read_anew_from_the_registry(tmp_path: Path) -> None:
    layout, digest = image_of(tmp_path / "registry", BASE, [member("model", b"right")])
    images = UnpackedImages(tmp_path / "trees", Blobs(layout.root))
    (images.tree(digest).path / "model").write_bytes(b"wrong")
    assert (images.tree(digest).path / "model").read_bytes() == b"wrong"
    images.discard(digest)
    assert (images.tree(digest).path / "model").read_bytes() == b"right"


def test_what_the_registry_lost_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    layout, digest = image_of(tmp_path / "registry", BASE, [member("model", b"right")])
    layout.path(layout.manifest(digest)["layers"][1]["digest"]).unlink()
    images = UnpackedImages(tmp_path / "trees", Blobs(layout.root))
    with pytest.raises(ServerFailed, match="cannot be unpacked"):
        images.tree(digest)
    assert [path.name for path in (tmp_path / "trees").iterdir()] == [LAYERS]
