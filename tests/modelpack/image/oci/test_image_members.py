"""Layers kept for the next image: the same trees as from the blobs, only what is new is read, nothing bad is kept."""

from __future__ import annotations

import os
import pathlib
from typing import Any, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layers import folder, hard_link, image_of, link, member

from modelpack.errors import EcomdeployError
from modelpack.image.oci.layout import Layout
from modelpack.image.oci.members import Kept
from modelpack.image.oci.members import link as linked
from modelpack.image.oci.unpack import unpack

BASE = [folder("usr/bin", 0o755), member("usr/bin/tool", b"tool", mode=0o755), link("bin", "usr/bin")]
WHEELS = [member("opt/deps/one.py", b"1"), hard_link("opt/deps/two.py", "opt/deps/one.py")]


class Counting:
    """A layout that remembers which blobs were opened."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.opened: list[str] = []

    def open(self, digest: str) -> BinaryIO:
        self.opened.append(digest)
        return self.layout.open(digest)


def seen(root: pathlib.Path) -> dict[str, object]:
    """Path -> kind, content or target, and permissions."""
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        what = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(root))] = (what, path.lstat().st_mode)
    return found


def test_the_next_image_reads_only_what_is_new_and_shares_the_rest(tmp_path: pathlib.Path) -> None:
    layout, first = image_of(tmp_path / "layout", BASE, WHEELS, [member("model", b"first")])
    _, second = image_of(tmp_path / "layout", BASE, WHEELS, [member("model", b"second")])
    source, kept = Counting(layout), Kept(tmp_path / "kept")
    one = unpack(source, first, tmp_path / "one", members=kept)
    source.opened.clear()
    two = unpack(source, second, tmp_path / "two", members=kept)
    document = layout.manifest(second)
    assert source.opened == [second, document["config"]["digest"], document["layers"][-1]["digest"]]
    assert (one / "usr/bin/tool").stat().st_ino == (two / "usr/bin/tool").stat().st_ino
    assert ((one / "model").read_bytes(), (two / "model").read_bytes()) == (b"first", b"second")
    for digest, tree in ((first, one), (second, two)):
        assert seen(tree) == seen(unpack(layout, digest, tmp_path / f"plain-{tree.name}"))


NAMES = st.lists(st.sampled_from(["a", "b", "..", ".wh.a", ".wh..wh..opq"]), min_size=1, max_size=3).map(
    "/".join
)
ENTRIES = st.one_of(
    st.builds(lambda name: member(name, b"x"), NAMES),
    st.builds(folder, NAMES),
    st.builds(link, NAMES, st.sampled_from(["a", "/a/b", "../b", "/../etc"])),
    st.builds(hard_link, NAMES, st.sampled_from(["a", "b/a"])),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(ENTRIES, max_size=6), st.lists(ENTRIES, max_size=4))
def test_kept_layers_give_the_same_tree_or_the_same_refusal(
    tmp_path_factory: Any, first: Any, second: Any
) -> None:
    place = tmp_path_factory.mktemp("place")
    layout, digest = image_of(place / "layout", first, second)
    kept = Kept(place / "store")
    found: list[Any] = []
    ways: list[tuple[str, dict[str, Any]]] = [
        ("plain", {}),
        ("kept", {"members": kept}),
        ("again", {"members": kept}),
    ]
    for name, more in ways:
        try:
            root = unpack(layout, digest, place / name, **more)
            found.append(seen(root))
        except EcomdeployError as refused:
            found.append(str(refused).partition(": ")[0])
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("packing", ["", "+gzip", "+zstd"])
def test_a_corrupted_layer_is_not_kept(tmp_path: pathlib.Path, packing: str) -> None:
    layout, digest = image_of(tmp_path / "layout", [member("a", b"content" * 50)], packing=packing)
    blob = layout.path(layout.manifest(digest)["layers"][0]["digest"])
    whole = blob.read_bytes()
    data = bytearray(whole)
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)
    kept = Kept(tmp_path / "kept")
    with pytest.raises(EcomdeployError, match="layer"):
        unpack(layout, digest, tmp_path / "root", members=kept)
    assert list(kept.folder.iterdir()) == []
    blob.write_bytes(whole)
    assert (unpack(layout, digest, tmp_path / "root", members=kept) / "a").read_bytes() == b"content" * 50


def test_what_was_damaged_afterwards_is_read_anew_once_forgotten(tmp_path: pathlib.Path) -> None:
    layout, digest = image_of(tmp_path / "layout", [member("a", b"content", mode=0o644)])
    kept = Kept(tmp_path / "kept")
    (unpack(layout, digest, tmp_path / "one", members=kept) / "a").write_bytes(b"damaged")
    kept.forget(layout.manifest(digest)["layers"][0]["digest"])
    assert (unpack(layout, digest, tmp_path / "two", members=kept) / "a").read_bytes() == b"content"
    assert (tmp_path / "one/a").read_bytes() == b"damaged"


def test_what_nobody_wants_goes_and_so_does_what_a_kill_left(tmp_path: pathlib.Path) -> None:
    layout, digest = image_of(tmp_path / "layout", BASE, WHEELS)
    kept = Kept(tmp_path / "kept")
    kept.sweep(frozenset())
    unpack(layout, digest, tmp_path / "one", members=kept)
    first, second = (layer["digest"] for layer in layout.manifest(digest)["layers"])
    (kept.folder / ".keep-1-ab").mkdir()
    kept.sweep(frozenset({second}))
    assert [path.name for path in kept.folder.iterdir()] == [kept.path(second).name]
    assert not kept.path(first).exists()


def test_where_no_link_can_be_made_a_copy_is(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    (tmp_path / "there").write_bytes(b"2")
    linked(tmp_path / "file", tmp_path / "there")
    assert (tmp_path / "there").read_bytes() == b"1"
    assert (tmp_path / "there").stat().st_nlink == 1
    with pytest.raises(FileNotFoundError):
        linked(tmp_path / "absent", tmp_path / "other")
