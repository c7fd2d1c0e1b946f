"""Unpacking: layer semantics kept, digests checked, nothing written or linked outside the folder."""

from __future__ import annotations

import hashlib
import io
import os
import pathlib
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layers import PACKERS, folder, hard_link, image_of, link, member

from modelpack.errors import EcomdeployError
from modelpack.image.oci.blob import tar_stream
from modelpack.image.oci.descriptor import LAYER, Descriptor
from modelpack.image.oci.unpack import unpack


def unpacked(tmp_path: pathlib.Path, *layers: Any, packing: str = "") -> pathlib.Path:
    layout, digest = image_of(tmp_path / "layout", *layers, packing=packing)
    return unpack(layout, digest, tmp_path / "root")


@dataclass(frozen=True)
class OneBlob:
    """A store that holds one blob."""

    data: bytes

    def open(self, digest: str) -> BinaryIO:
        return io.BytesIO(self.data)


def read_through(source: OneBlob, layer: Descriptor, seen: list[int]) -> None:
    with tar_stream(source, layer, "sha256:" + "0" * 64) as stream:
        while piece := stream.read(1 << 20):
            seen.append(len(piece))


@pytest.mark.parametrize("packing", ["+gzip", "+zstd"])
def test_a_layer_that_unpacks_without_end_is_stopped(packing: str) -> None:
    """3 GB of zeros from 3 MB at most: nobody waits for its end."""
    zeros = PACKERS[packing](bytes(64 << 20))
    blob = zeros * 48
    layer = Descriptor(LAYER + packing, f"sha256:{hashlib.sha256(blob).hexdigest()}", len(blob))
    seen: list[int] = []
    with pytest.raises(EcomdeployError, match="more than 100 times its size"):
        read_through(OneBlob(blob), layer, seen)
    assert sum(seen) < 1_600_000_000


def test_a_sparse_file_is_refused(tmp_path: pathlib.Path) -> None:
    """A header of 512 bytes claims a file of 8 TB."""
    sparse = member("hole", type=tarfile.GNUTYPE_SPARSE)
    header = bytearray(sparse[0].tobuf(tarfile.GNU_FORMAT))
    header[483:495] = b"%011o\0" % (8 << 30)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    layout, digest = image_of(tmp_path / "layout", [member("first", b"1")], tail=bytes(header))
    with pytest.raises(EcomdeployError, match="a sparse file"):
        unpack(layout, digest, tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_a_manifest_without_end_is_not_read(tmp_path: pathlib.Path) -> None:
    with pytest.raises(EcomdeployError, match="no manifest or config"):
        unpack(OneBlob(bytes(70_000_000)), "sha256:" + "0" * 64, tmp_path / "root")


def tree(root: pathlib.Path) -> dict[str, object]:
    """Path -> content, link target or None for a folder."""
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        found[name] = (
            f"-> {os.readlink(path)}" if path.is_symlink() else path.read_bytes() if path.is_file() else None
        )
    return found


@pytest.mark.parametrize("packing", ["", "+gzip", "+zstd"])
def test_files_links_and_modes(tmp_path: pathlib.Path, packing: str) -> None:
    root = unpacked(
        tmp_path,
        [folder("usr/bin"), member("./usr/bin/tool", b"tool", mode=0o4755), link("bin", "usr/bin")],
        [
            member("bin/more", b"more", mode=0o600),
            hard_link("usr/bin/twin", "usr/bin/tool"),
            folder("tmp", 0o1777),
        ],
        packing=packing,
    )
    assert tree(root) == {
        "bin": "-> usr/bin",
        "tmp": None,
        "usr": None,
        "usr/bin": None,
        "usr/bin/more": b"more",
        "usr/bin/tool": b"tool",
        "usr/bin/twin": b"tool",
    }
    assert (root / "usr/bin/tool").stat().st_mode & 0o7777 == 0o755, "set-uid never lands on this machine"
    assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777
    assert (root / "usr/bin/twin").stat().st_ino == (root / "usr/bin/tool").stat().st_ino


def test_later_layers_replace_and_hide(tmp_path: pathlib.Path) -> None:
    root = unpacked(
        tmp_path,
        [
            member("etc/a", b"1"),
            member("etc/b", b"1"),
            member("opt/x/old", b"1"),
            member("var/f", b"1"),
            folder("d"),
        ],
        [
            member("etc/.wh.a"),
            member("opt/x/.wh..wh..opq"),
            member("opt/x/new", b"2"),
            member("etc/b", b"2"),
            member("d", b"now a file"),
            member(".wh.var"),
        ],
    )
    assert tree(root) == {
        "d": b"now a file",
        "etc": None,
        "etc/b": b"2",
        "opt": None,
        "opt/x": None,
        "opt/x/new": b"2",
    }


def test_opaque_keeps_what_its_own_layer_brought_first(tmp_path: pathlib.Path) -> None:
    root = unpacked(tmp_path, [member("x/old", b"1")], [member("x/sub/new", b"2"), member("x/.wh..wh..opq")])
    assert tree(root) == {"x": None, "x/sub": None, "x/sub/new": b"2"}


def test_absolute_links_stay_inside_without_chroot(tmp_path: pathlib.Path) -> None:
    root = unpacked(tmp_path, [member("etc/real", b"in the image"), link("usr/lib/deep/passwd", "/etc/real")])
    assert os.readlink(root / "usr/lib/deep/passwd") == "../../../etc/real"
    assert (root / "usr/lib/deep/passwd").read_bytes() == b"in the image"


ESCAPES = {
    "dots in a name": [member("../outside", b"!")],
    "dots in the middle": [member("usr/../../outside", b"!")],
    "link that climbs": [link("usr/x", "../../outside")],
    "absolute link that climbs": [link("usr/x", "/../../outside")],
    "hard link with dots": [hard_link("x", "../outside-target")],
    "hard link to nothing": [hard_link("x", "etc/passwd")],
    "hard link through a link": [link("dir", "/etc"), hard_link("x", "dir/passwd")],
    "hard link to a link": [link("l", "etc/passwd"), hard_link("x", "l")],
    "whiteout of dots": [member("usr/.wh...")],
    "whiteout above": [member("../.wh.outside-target")],
    "below a file": [member("file", b""), member("file/below", b"!")],
    "endless links": [link("a", "b"), link("b", "a"), member("a/x", b"!")],
}


@pytest.mark.parametrize("name", ESCAPES)
def test_escapes_are_refused(tmp_path: pathlib.Path, name: str) -> None:
    (tmp_path / "outside-target").write_bytes(b"untouched")
    with pytest.raises(EcomdeployError):
        unpacked(tmp_path, ESCAPES[name])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layout", "outside-target"]
    assert (tmp_path / "outside-target").read_bytes() == b"untouched"


def test_writing_through_a_link_lands_inside(tmp_path: pathlib.Path) -> None:
    outside = tmp_path / "etc"
    outside.mkdir()
    root = unpacked(tmp_path, [link("e", "/etc"), member("e/passwd", b"image's")])
    assert (root / "etc/passwd").read_bytes() == b"image's"
    assert list(outside.iterdir()) == []


def test_devices_and_pipes_are_left_out(tmp_path: pathlib.Path) -> None:
    root = unpacked(
        tmp_path,
        [member("dev/null", type=tarfile.CHRTYPE), member("pipe", type=tarfile.FIFOTYPE), member("ok", b"1")],
    )
    assert tree(root) == {"dev": None, "ok": b"1"}


NAMES = st.lists(st.sampled_from(["a", "b", "c", "..", ".wh.a", "."]), min_size=1, max_size=4).map("/".join)
TARGETS = st.lists(st.sampled_from(["", "a", "b", "c", "..", ".", "/"]), min_size=1, max_size=5).map("/".join)
ENTRIES = st.one_of(
    st.builds(lambda name: member(name, b"x"), NAMES),
    st.builds(folder, NAMES),
    st.builds(link, NAMES, TARGETS),
    st.builds(hard_link, NAMES, TARGETS),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(ENTRIES, max_size=8), st.lists(ENTRIES, max_size=5))
def test_no_image_reaches_outside(tmp_path_factory: Any, first: Any, second: Any) -> None:
    place = tmp_path_factory.mktemp("place")
    layout, digest = image_of(place / "layout", first, second)
    try:
        root = unpack(layout, digest, place / "root")
    except EcomdeployError:
        assert [path.name for path in place.iterdir()] == ["layout"]
        return
    assert sorted(path.name for path in place.iterdir()) == ["layout", "root"]
    for path in root.rglob("*"):
        assert path.parent.resolve().is_relative_to(root.resolve())
        if path.is_symlink():
            assert not os.readlink(path).startswith("/")


@pytest.mark.parametrize("packing", ["", "+gzip", "+zstd"])
def test_a_corrupted_layer_leaves_nothing(tmp_path: pathlib.Path, packing: str) -> None:
    layout, digest = image_of(tmp_path / "layout", [member("a", b"content" * 50)], packing=packing)
    blob = layout.path(layout.manifest(digest)["layers"][0]["digest"])
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)
    with pytest.raises(EcomdeployError, match="layer"):
        unpack(layout, digest, tmp_path / "root")
    assert [path.name for path in tmp_path.iterdir()] == ["layout"]


def test_trailing_bytes_after_the_tar_are_noticed(tmp_path: pathlib.Path) -> None:
    layout, digest = image_of(tmp_path / "layout", [member("a", b"content")])
    blob = layout.path(layout.manifest(digest)["layers"][0]["digest"])
    blob.write_bytes(blob.read_bytes() + b"smuggled")
    with pytest.raises(EcomdeployError, match="corrupted"):
        unpack(layout, digest, tmp_path / "root")


def test_two_at_once_and_twice_are_fine(tmp_path: pathlib.Path) -> None:
    layout, digest = image_of(
        tmp_path / "layout", [member(f"f{number}", b"x" * 1000) for number in range(50)]
    )
    with ThreadPoolExecutor(4) as pool:
        roots = list(pool.map(lambda _: unpack(layout, digest, tmp_path / "root"), range(4)))
    assert set(roots) == {tmp_path / "root"}
    assert len(tree(tmp_path / "root")) == 50
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layout", "root"]


def test_read_only_folders_are_filled_and_removed(tmp_path: pathlib.Path) -> None:
    from modelpack.image.oci.unpack import remove

    root = unpacked(
        tmp_path, [folder("ro", 0o555), member("ro/file", b"1", mode=0o444)], [member("ro/more", b"2")]
    )
    assert tree(root) == {"ro": None, "ro/file": b"1", "ro/more": b"2"}
    remove(root)
    assert not root.exists()


def test_what_is_no_image_is_refused(tmp_path: pathlib.Path) -> None:
    layout, digest = image_of(tmp_path / "layout", [member("a", b"1")])
    document = layout.manifest(digest)
    for broken in ({**document, "layers": []}, {**document, "config": {}}, {"schemaVersion": 2}):
        other = layout.put_manifest(broken).digest
        with pytest.raises(EcomdeployError):
            unpack(layout, other, tmp_path / "root")
    assert not (tmp_path / "root").exists()
