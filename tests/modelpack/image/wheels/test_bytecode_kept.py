"""The image's interpreter is unpacked once, by whoever comes first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelpack.image import tree
from modelpack.image.tree import Entry
from modelpack.image.wheels.bytecode import keep


def entries() -> Iterator[Entry]:
    yield tree.of_bytes("usr/bin/python3", b"interpreter")


def test_what_is_kept_is_whole_and_of_the_first(tmp_path: Path) -> None:
    root = tmp_path / "interpreters" / "digest"
    keep(entries(), root)
    keep(iter([tree.of_bytes("usr/bin/python3", b"another")]), root)
    assert (root / "usr/bin/python3").read_bytes() == b"interpreter"
    assert [one.name for one in root.parent.iterdir()] == ["digest"]


def test_what_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[Entry]:
        yield from entries()
        raise OSError("the disk is full")

    root = tmp_path / "interpreters" / "digest"
    with pytest.raises(OSError, match="the disk is full"):
        keep(broken(), root)
    assert [*root.parent.iterdir()] == []
