"""A zip archive is taken in the one form that every reader sees alike, and what is loaded is written anew."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import hostile
import hostile_others
import pytest
from given import Given
from hostile_archives import TWISTS, plain

from modelpack.errors import BadInput
from modelpack.sources.archive import open_archive, rewrite
from modelpack.sources.base import open_model
from modelpack.sources.torch_export import harmless

SAMPLES, GRAPH = "model/data/sample_inputs/model.pt", "model/models/model.json"


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return members(hostile.exported(tmp_path_factory.mktemp("exported")).read_bytes())


def refused(folder: Path, name: str, data: bytes) -> str:
    (folder / name).write_bytes(data)
    with pytest.raises(BadInput) as caught:
        open_model(folder / name, Given(), folder / "taken")
    return str(caught.value)


pytestmark = pytest.mark.filterwarnings("ignore:Duplicate name")


@pytest.mark.parametrize("twist", TWISTS)
def test_an_exported_program_with_two_faces_is_refused(
    tmp_path: Path, exported: dict[str, bytes], twist: str
) -> None:
    """The sample inputs that another reader would find are a pickle that runs."""
    canary = tmp_path / "canary"
    evil = hostile.torch_file(hostile.pickles(canary)["eval"])
    refused(tmp_path, "model.pt2", TWISTS[twist](exported, SAMPLES, evil))
    assert not canary.exists()


@pytest.mark.parametrize("twist", TWISTS)
def test_sample_inputs_with_two_faces_are_refused(
    tmp_path: Path, exported: dict[str, bytes], twist: str
) -> None:
    """The file by torch.save inside the archive is an archive too."""
    canary = tmp_path / "canary"
    inner = members(exported[SAMPLES])
    name = next(one for one in inner if one.endswith("/data.pkl"))
    twisted = TWISTS[twist](inner, name, hostile.pickles(canary)["eval"])
    refused(tmp_path, "model.pt2", plain({**exported, SAMPLES: twisted}))
    assert not canary.exists()


@pytest.mark.parametrize("twist", TWISTS)
def test_a_keras_file_with_two_faces_is_refused(tmp_path: Path, twist: str) -> None:
    benign = members(hostile_others.keras_file(tmp_path / "given", []).read_bytes())
    lambdas = json.dumps(hostile_others.layer("Lambda", function={})).encode()
    words = refused(tmp_path, "model.keras", TWISTS[twist](benign, "config.json", lambdas))
    assert "not installed" not in words


def test_a_name_that_stands_twice_in_its_json_is_refused(tmp_path: Path, exported: dict[str, bytes]) -> None:
    """Python takes the last of two, others the first."""
    twice = exported[GRAPH].replace(b'{"', b'{"graph_module": 1, "', 1)
    assert "comes twice" in refused(tmp_path, "model.pt2", plain({**exported, GRAPH: twice}))
    config = json.dumps(hostile_others.layer("Sequential", "keras", layers=[]))
    doubled = config.replace("{", '{"class_name": "Lambda", ', 1).encode()
    other = {"config.json": doubled, "metadata.json": b"{}", "model.weights.h5": b"1"}
    assert "comes twice" in refused(tmp_path, "model.keras", plain(other))


@pytest.mark.parametrize(
    ("expression", "taken"),
    [
        ("s77", True),
        ("Symbol('s77', positive=True, integer=True)", True),
        ("Max(1, FloorDiv(s0 + 2*s1, 3)) <= 1048576", True),
        ("+1" * 900, True),
        ("1" * 60 + "?", False),
        ("+1" * 60 + "?", False),
        ("99999!", False),
        ("Equality" * 200 + "?", False),
        ("Eqq(s0, 1)", False),
        ("s0.real", False),
        ("2**s0", False),
        ("__import__('os')", False),
        ("Symbol('__import__')", False),
        ("1111111111111", False),
    ],
)
def test_size_expressions(expression: str, taken: bool) -> None:
    """Token by token: nothing that backtracks."""
    assert harmless(expression) is taken


class Stream(io.RawIOBase):
    """A file that cannot be sought in: zipfile then writes sizes behind the bytes."""

    def __init__(self) -> None:
        self.content = b""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.content += bytes(data)  # type: ignore[call-overload]
        return len(bytes(data))  # type: ignore[call-overload]


def streamed(wanted: dict[str, bytes]) -> bytes:
    stream = Stream()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in wanted.items():
            archive.writestr(name, data)
    return stream.content


def wide(wanted: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in wanted.items():
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(data)
    return content.getvalue()


@pytest.mark.parametrize("write", [plain, streamed, wide])
def test_what_proper_writers_write_is_taken(
    tmp_path: Path, write: Callable[[dict[str, bytes]], bytes]
) -> None:
    wanted = {"a/ä.json": b"{}", "a/b": bytes(range(256)) * 9, "c": b""}
    with open_archive(io.BytesIO(write(wanted)), tmp_path) as archive:
        fresh = rewrite(archive, {**dict(zip("xyz", wanted, strict=True)), "w": b"own"}, tmp_path / "fresh")
    assert members(fresh.read_bytes()) == {**dict(zip("xyz", wanted.values(), strict=True)), "w": b"own"}


def test_what_torch_writes_is_taken(exported: dict[str, bytes], tmp_path: Path) -> None:
    with open_archive(io.BytesIO(exported[SAMPLES]), tmp_path) as archive:
        assert any(name.endswith("/data.pkl") for name in archive.namelist())
