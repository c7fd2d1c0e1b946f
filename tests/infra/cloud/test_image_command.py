"""The configuration of a pushed image: what it says is run, or refused with the field's name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from layers import image_of, member

from infra.rehearsal.cloud.registry.blobs import Blobs
from infra.rehearsal.cloud.servers.command import MOST_BYTES, MOST_LINES, read_command
from infra.rehearsal.cloud.servers.host import ServerFailed
from infra.rehearsal.cloud.servers.images import UnpackedImages
from modelpack.errors import EcomdeployError
from modelpack.image.oci.blob import MOST_SMALL
from modelpack.image.oci.layout import Layout

GOOD: dict[str, Any] = {
    "Entrypoint": ["/usr/bin/python3", "-m", "modelpack.server"],
    "Cmd": ["serve"],
    "Env": ["PATH=/usr/bin", "EMPTY=", "EQUALS=a=b"],
    "User": "65532:65532",
    "WorkingDir": "/opt",
}
LONG = "x" * MOST_BYTES
HOSTILE: dict[str, tuple[str, Any]] = {
    "a name": ("User", "root"),
    "no number": ("User", 0),
    "a line break": ("User", "0\n"),
    "other digits": ("User", "٦٥"),
    "the group's name": ("User", "65532:root"),
    "nobody at all": ("User", str(2**32 - 1)),
    "digits without end": ("User", "9" * 5000),
    "a negative one": ("User", "-1"),
    "one text": ("Entrypoint", "/bin/sh"),
    "numbers": ("Entrypoint", [1, 2]),
    "a table": ("Entrypoint", {"a": "b"}),
    "a zero byte": ("Entrypoint", ["/usr/bin/python3", "a\0b"]),
    "half a character": ("Cmd", ["\ud800"]),
    "a list within": ("Cmd", [["serve"]]),
    "a long text": ("Cmd", [LONG + "x"]),
    "many long ones": ("Cmd", [LONG] * 9),
    "more than anybody": ("Cmd", ["a"] * (MOST_LINES + 1)),
    "no equals sign": ("Env", ["PATH"]),
    "no name": ("Env", ["=1"]),
    "nothing": ("Env", [""]),
    "a table of them": ("Env", {"PATH": "/"}),
    "a zero byte in a value": ("Env", ["A=\0"]),
    "a variable of null": ("Env", [None]),
    "a relative one": ("WorkingDir", "opt"),
    "one above": ("WorkingDir", "/opt/../../etc"),
    "a folder with a zero byte": ("WorkingDir", "/\0"),
    "a list of folders": ("WorkingDir", ["/"]),
    "no list of them": ("WorkingDir", []),
}


def test_what_it_says_is_taken() -> None:
    found = read_command({"config": GOOD})
    assert found.argv == ("/usr/bin/python3", "-m", "modelpack.server", "serve")
    assert found.environment == {"PATH": "/usr/bin", "EMPTY": "", "EQUALS": "a=b"}
    assert (found.directory, found.user) == ("/opt", (65532, 65532))
    least = read_command({"config": {"Cmd": ["/serve"], "User": "7", "Env": None, "WorkingDir": ""}})
    assert (least.argv, least.environment, least.directory, least.user) == (("/serve",), {}, "/", (7, 7))


@pytest.mark.parametrize("case", HOSTILE)
def test_a_field_without_its_form_is_refused_by_name(case: str) -> None:
    field, value = HOSTILE[case]
    with pytest.raises(EcomdeployError, match=f"^{field}") as caught:
        read_command({"config": {**GOOD, field: value}})
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("config", [None, [], "x", {}, {"Cmd": []}, {"Cmd": ["serve"]}, {"Cmd": ["", "/a"]}])
def test_an_image_without_a_command_is_refused(config: Any) -> None:
    with pytest.raises(EcomdeployError, match="command"):
        read_command({"config": config})


def images(tmp_path: Path, config: bytes, **descriptor: Any) -> tuple[UnpackedImages, str]:
    """An image of one file whose configuration is these bytes."""
    layout, digest = image_of(tmp_path / "registry", [member("model", b"x")])
    manifest = layout.manifest(digest)
    manifest["config"] |= {"digest": layout.put(config), "size": len(config)} | descriptor
    return UnpackedImages(tmp_path / "trees", Blobs(layout.root)), layout.put(json.dumps(manifest).encode())


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (b"\xff\xfe", "no document"),
        (b"[" * 100_000, "no document"),
        (b"[]", "no JSON object"),
        (b'{"config": {"Cmd": ["/serve"], "User": "root"}}', "User must be numbers"),
        (b'{"config": {"Cmd": ["/serve"]}}', "do not make an image"),
        (b" " * (MOST_SMALL + 1), "no manifest or config"),
    ],
)
def test_a_pushed_one_is_refused_in_words_and_leaves_nothing(tmp_path: Path, config: bytes, why: str) -> None:
    made, digest = images(tmp_path, config)
    with pytest.raises(ServerFailed, match=why):
        made.tree(digest)
    assert not (tmp_path / "trees" / digest.removeprefix("sha256:")).exists()


@pytest.mark.parametrize("broken", [{"digest": "sha256:../../x"}, {"digest": 7}, {"size": -1}, {"size": 1.5}])
def test_a_descriptor_without_its_form_is_refused(tmp_path: Path, broken: dict[str, Any]) -> None:
    made, digest = images(tmp_path, b"{}", **broken)
    with pytest.raises(ServerFailed, match=r"not an OCI descriptor|not a sha256"):
        made.tree(digest)


def test_a_manifest_that_was_damaged_later_does_not_stop_the_cloud(tmp_path: Path) -> None:
    layout, digest = image_of(tmp_path / "registry", [member("model", b"x")])
    UnpackedImages(tmp_path / "trees", Blobs(layout.root)).tree(digest)
    Layout(layout.root).path(digest).write_bytes(b"{")
    again = UnpackedImages(tmp_path / "trees", Blobs(layout.root))
    again.sweep()
    assert [path.name for path in (tmp_path / "trees").iterdir() if not path.name.startswith(".")] == []
    with pytest.raises(ServerFailed, match="damaged in the registry"):
        again.tree(digest)
