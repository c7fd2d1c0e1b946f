"""pack.lock: what it holds and for what, the same bytes for the same content, and what is said when it is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelpack.errors import BadInput
from modelpack.inputs import lock as locks
from modelpack.inputs.lock import Lock


def full() -> Lock:
    lock = Lock().having("verdict", "sha256:a", {"kept": ["onnx"], "metric": {"value": 0.5}})
    return lock.having("debs", "sha256:b", {"packages": []}).having("wheels", "sha256:c", {"packages": []})


def test_no_lock_is_an_empty_lock(tmp_path: Path) -> None:
    assert locks.read(tmp_path) == Lock()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    locks.write(tmp_path, full())
    assert locks.read(tmp_path) == full()


def test_a_section_holds_only_for_what_it_was_made_from() -> None:
    assert full().get("verdict", "sha256:a") == {"kept": ["onnx"], "metric": {"value": 0.5}}
    assert full().get("verdict", "sha256:other") is None
    assert Lock().get("debs", "sha256:b") is None


def test_writing_the_same_again_leaves_the_file_alone(tmp_path: Path) -> None:
    locks.write(tmp_path, full())
    before = (tmp_path / locks.NAME).stat()
    locks.write(tmp_path, locks.read(tmp_path))
    after = (tmp_path / locks.NAME).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_no_half_written_file_stays_behind(tmp_path: Path) -> None:
    locks.write(tmp_path, full())
    assert [path.name for path in tmp_path.iterdir()] == [locks.NAME]


def test_a_lock_of_a_newer_version_is_not_taken_for_damaged(tmp_path: Path) -> None:
    (tmp_path / locks.NAME).write_text('{"format": 99}')
    with pytest.raises(BadInput, match="a lock of format 99, and this version knows 1") as caught:
        locks.read(tmp_path)
    assert "update" in caught.value.hint
    assert str(tmp_path / locks.NAME) in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"format": 1, "verdict": 3}', '{"format": 1, "debs": {"for": 1}}'],
)
def test_a_damaged_lock_is_bad_input_with_a_way_out(tmp_path: Path, text: str) -> None:
    (tmp_path / locks.NAME).write_text(text)
    with pytest.raises(BadInput) as caught:
        locks.read(tmp_path)
    assert "version control" in caught.value.hint
    assert str(tmp_path / locks.NAME) in str(caught.value)
