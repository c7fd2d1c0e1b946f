"""Layers are functions of their entries: neither order, clock, umask nor path reaches the bytes."""

from __future__ import annotations

import hashlib
import io
import os
import pathlib
import tarfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelpack.errors import EcomdeployError
from modelpack.image import compress, tar, tree

LETTERS = st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=["Cs"])
NAMES = st.text(LETTERS, min_size=1, max_size=60)
PATHS = st.lists(NAMES.filter(lambda name: name not in (".", "..")), min_size=1, max_size=4).map("/".join)
CONTENT = st.binary(max_size=2000)


def written(entries: list[tree.Entry]) -> bytes:
    out = io.BytesIO()
    tar.write(entries, out.write, lambda entry, piece: None)
    return out.getvalue()


def fitting(files: dict[str, bytes]) -> dict[str, bytes]:
    """Without files that lie below another file."""
    return {
        path: data for path, data in files.items() if not any(other.startswith(f"{path}/") for other in files)
    }


@given(st.dictionaries(PATHS, CONTENT, max_size=8), st.randoms())
def test_order_does_not_matter_and_everything_comes_back(files: dict[str, bytes], random: Any) -> None:
    files = fitting(files)
    entries = [tree.of_bytes(path, data) for path, data in files.items()]
    first = written(entries)
    random.shuffle(entries)
    assert written(entries) == first
    with tarfile.open(fileobj=io.BytesIO(first)) as read:
        members = read.getmembers()
        assert {m.name: read.extractfile(m).read() for m in members if m.isfile()} == files
    assert all((m.mtime, m.uid, m.gid, m.uname, m.gname) == (0, 0, 0, "", "") for m in members)
    seen: set[str] = set()
    for member in members:
        parent = member.name.rpartition("/")[0]
        assert not parent or parent in seen, "a folder comes before what it holds"
        seen.add(member.name)


@settings(max_examples=20)
@given(st.integers(0, 0o777), st.floats(0, 2e9), st.binary(min_size=1, max_size=100))
def test_umask_mtime_and_place_do_not_matter(
    tmp_path_factory: Any, umask: int, mtime: float, data: bytes
) -> None:
    folder = tmp_path_factory.mktemp("anywhere")
    before = os.umask(umask)
    try:
        path = folder / "file.bin"
        path.write_bytes(data)
    finally:
        os.umask(before)
    os.utime(path, (mtime, mtime))
    assert written([tree.of_file("opt/file.bin", path)]) == written([tree.of_bytes("opt/file.bin", data)])


def test_a_file_that_changes_while_it_is_packed_is_an_error(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "growing"
    path.write_bytes(b"1")
    entry = tree.of_file("growing", path)
    path.write_bytes(b"12")
    with pytest.raises(EcomdeployError, match="changed while it was packed"):
        written([entry])


@pytest.mark.parametrize("path", ["../x", "a/../../x", "", "/", "a/\0b"])
def test_no_entry_leaves_the_image(path: str) -> None:
    with pytest.raises(EcomdeployError):
        tree.of_bytes(path, b"")


def test_nothing_lies_below_a_file_or_a_link() -> None:
    with pytest.raises(EcomdeployError, match="no folder"):
        written([tree.link("lib", "usr/lib"), tree.of_bytes("lib/x", b"")])


@pytest.mark.parametrize("kind", [compress.Gzip, compress.Plain])
@settings(max_examples=25)
@given(data=st.binary(max_size=5000), cuts=st.lists(st.integers(1, 3000), max_size=6))
def test_compressed_bytes_do_not_depend_on_how_the_input_was_cut(
    kind: type[compress.Compressor], data: bytes, cuts: list[int]
) -> None:
    def packed(pieces: list[bytes]) -> bytes:
        one = kind()
        return b"".join(one.feed(piece) for piece in pieces) + one.end()

    pieces, at = [], 0
    for cut in cuts:
        pieces.append(data[at : at + cut])
        at += cut
    assert packed([*pieces, data[at:]]) == packed([data])


def test_gzip_across_block_borders() -> None:
    data = hashlib.sha256(b"seed").digest() * 80_000
    one = compress.Gzip()
    cut = b"".join(one.feed(data[at : at + 700_001]) for at in range(0, len(data), 700_001)) + one.end()
    two = compress.Gzip()
    assert two.feed(data) + two.end() == cut


def test_random_weights_are_not_worth_compressing() -> None:
    noise = b"".join(hashlib.sha256(bytes([a, b])).digest() for a in range(200) for b in range(20))
    assert not compress.pays([noise])
    assert compress.pays([b"\0" * 100_000])
    assert not compress.pays([])
