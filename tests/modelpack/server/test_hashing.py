"""The image's files hashed beside the start: what other processes find is what is there, and what they do not, is."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import signal

import pytest
from model_server import write_file_manifest

from modelpack.server import file_manifest
from modelpack.server.hashing import FILE_MANIFEST, PIECE, begin
from modelpack.server.signature import Unfit

FILES = {
    "a": b"",
    "b/large": os.urandom(3 * PIECE + 1),
    "b/exact": os.urandom(PIECE),
    "c d": b"x",
    "ü": b"yy",
}


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    for name, data in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    (tmp_path / "opt/ecomdeploy").mkdir(parents=True)
    write_file_manifest(tmp_path)
    return tmp_path


def digests() -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}


def part_list(root: pathlib.Path, *apart: str) -> None:
    """The files named go to a list of their own."""
    place = root / FILE_MANIFEST
    manifest = json.loads(place.read_text())
    data = json.dumps({path: manifest["files"].pop(path) for path in apart}).encode()
    (root / "list.json").write_bytes(data)
    manifest["lists"] = {"list.json": hashlib.sha256(data).hexdigest()}
    place.write_text(json.dumps(manifest))


def test_files_of_a_list_of_their_own_are_hashed_and_compared_as_all(root: pathlib.Path) -> None:
    whole = file_manifest.check(root)
    part_list(root, "a", "ü")
    assert begin(root, 2).take() == digests()
    assert file_manifest.check(root, begin(root, 2)) == whole

    (root / "ü").write_bytes(b"yyy")
    with pytest.raises(Unfit, match=r"1 of 5 files are not those that were packed: ü \(changed\)"):
        file_manifest.check(root, begin(root, 2))


@pytest.mark.parametrize("processes", [None, 1, 2, 9])
def test_every_file_is_hashed_once(root: pathlib.Path, processes: int | None) -> None:
    assert begin(root, processes).take() == digests()


def test_what_is_missing_is_told(root: pathlib.Path) -> None:
    (root / "a").unlink()
    assert begin(root, 2).take() == {**digests(), "a": ""}
    with pytest.raises(Unfit, match=r"1 of 5 files are not those that were packed: a \(missing\)"):
        file_manifest.check(root, begin(root))


def test_a_changed_file_is_told(root: pathlib.Path) -> None:
    (root / "b/large").write_bytes(FILES["b/large"][:-1] + b"\0\0")
    with pytest.raises(Unfit, match=r"b/large \(changed\)"):
        file_manifest.check(root, begin(root, 2))


def fork_doomed() -> int:
    """A process that is killed before it has done anything."""
    process = os.fork()
    if process == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return process


def test_what_a_killed_process_did_not_tell_is_hashed_here(root: pathlib.Path) -> None:
    expected = json.loads((root / "opt/ecomdeploy/files.json").read_text())["content_digest"]
    assert begin(root, 2, fork_doomed).take() == {}
    assert file_manifest.check(root, begin(root, 2, fork_doomed)) == expected

    (root / "c d").write_bytes(b"z")
    with pytest.raises(Unfit, match=r"c d \(changed\)"):
        file_manifest.check(root, begin(root, 2, fork_doomed))


def test_where_no_process_can_be_made_all_is_hashed_here(root: pathlib.Path) -> None:
    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    hashed = begin(root, 2, refuse)
    assert hashed.take() == {}
    file_manifest.check(root, hashed)


def test_a_broken_manifest_is_told_as_before(root: pathlib.Path) -> None:
    (root / "opt/ecomdeploy/files.json").write_text("{")
    with pytest.raises(Unfit, match=r"files\.json"):
        file_manifest.check(root, begin(root))
