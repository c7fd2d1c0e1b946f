"""The layout on disk: whole after a kill, safe for many writers, honest about corrupted blobs."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import SECONDS

from modelpack.errors import EcomdeployError
from modelpack.image.oci.attachments import attach, attachments
from modelpack.image.oci.descriptor import CONFIG, MANIFEST, digest_of
from modelpack.image.oci.layout import Layout


def image(layout: Layout, content: bytes = b"config") -> str:
    """A manifest with a config and no layers."""
    config = {"mediaType": CONFIG, "digest": layout.put(content), "size": len(content)}
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}
    return layout.put_manifest(document).digest


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=300), max_size=6))
def test_what_was_put_comes_back(tmp_path_factory: Any, blobs: list[bytes]) -> None:
    layout = Layout(tmp_path_factory.mktemp("layout"))
    digests = [layout.put(blob) for blob in blobs]
    assert [layout.read(digest) for digest in digests] == blobs
    manifests = {image(layout, blob) for blob in blobs}
    again = Layout(layout.root)
    assert {entry.digest for entry in again.descriptors()} == manifests
    assert all(again.complete(digest) for digest in manifests)


def test_it_is_an_oci_layout(tmp_path: pathlib.Path) -> None:
    layout = Layout(tmp_path)
    digest = image(layout)
    assert json.loads((tmp_path / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((tmp_path / "index.json").read_bytes())
    assert index["schemaVersion"] == 2
    assert [entry["digest"] for entry in index["manifests"]] == [digest]


def test_a_corrupted_blob_is_named(tmp_path: pathlib.Path) -> None:
    layout = Layout(tmp_path)
    digest = layout.put(b"right")
    layout.path(digest).write_bytes(b"wrong")
    with pytest.raises(EcomdeployError, match="corrupted") as caught:
        layout.read(digest)
    assert digest in str(caught.value)
    assert "ecomdeploy pack" in caught.value.hint
    with pytest.raises(EcomdeployError, match="corrupted"):
        layout.verify(digest)


def test_a_missing_or_short_blob_makes_the_image_incomplete(tmp_path: pathlib.Path) -> None:
    layout = Layout(tmp_path)
    digest = image(layout, b"config")
    assert layout.complete(digest)
    layout.path(digest_of(b"config")).write_bytes(b"con")
    assert not layout.complete(digest)
    layout.path(digest_of(b"config")).unlink()
    assert not layout.complete(digest)
    assert not layout.complete(digest_of(b"never"))
    with pytest.raises(EcomdeployError, match="missing"):
        layout.read(digest_of(b"config"))


@pytest.mark.parametrize(
    "digest", ["sha256:../../etc/passwd", "sha512:" + "0" * 64, "", "sha256:" + "G" * 64]
)
def test_what_is_no_digest_is_no_path(tmp_path: pathlib.Path, digest: str) -> None:
    with pytest.raises(EcomdeployError, match="not a sha256 digest"):
        Layout(tmp_path).path(digest)


def test_a_broken_index_is_said(tmp_path: pathlib.Path) -> None:
    layout = Layout(tmp_path)
    image(layout)
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(EcomdeployError, match="corrupted: "):
        layout.descriptors()


def test_referrers_by_subject_and_type(tmp_path: pathlib.Path) -> None:
    layout = Layout(tmp_path)
    first, second = image(layout, b"1"), image(layout, b"2")
    record = attach(layout, first, "application/vnd.test.record+json", b'{"a": 1}')
    attach(layout, first, "application/vnd.test.samples+json", b"[]")
    attach(layout, second, "application/vnd.test.record+json", b"{}")
    assert len(layout.referrers(first)) == 2
    assert [found.digest for found in layout.referrers(first, "application/vnd.test.record+json")] == [record]
    assert attachments(layout, first, "application/vnd.test.record+json") == (b'{"a": 1}',)
    assert attach(layout, first, "application/vnd.test.record+json", b'{"a": 1}') == record
    assert layout.manifest(record)["subject"]["digest"] == first
    with pytest.raises(EcomdeployError, match="cannot attach"):
        attach(layout, digest_of(b"never"), "a/b", b"")


WRITER = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from modelpack.image.oci.layout import Layout
from test_image_layout import image
layout = Layout(Path({root!r}))
print("ready", flush=True)
for number in range({count}):
    image(layout, f"{{{name}}}-{{number}}".encode() * 5000)
"""


def writer(root: pathlib.Path, name: int, count: int) -> subprocess.Popen[str]:
    path = [str(pathlib.Path(__file__).parent), *sys.path]
    text = WRITER.format(path=path, root=str(root), name=name, count=count)
    return subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)


def test_concurrent_processes_lose_nothing(tmp_path: pathlib.Path) -> None:
    processes = [writer(tmp_path, name, 15) for name in range(3)]
    assert [process.wait(SECONDS) for process in processes] == [0, 0, 0]
    layout = Layout(tmp_path)
    assert len(layout.descriptors()) == 45
    assert all(layout.complete(entry.digest) for entry in layout.descriptors())


def test_kill_9_leaves_a_whole_layout(tmp_path: pathlib.Path) -> None:
    for delay in (0.0, 0.02, 0.07):
        process = writer(tmp_path, 1, 100_000)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(SECONDS)
        layout = Layout(tmp_path)
        for entry in layout.descriptors():
            assert layout.complete(entry.digest)
            layout.verify(entry.digest)
        for blob in (tmp_path / "blobs/sha256").glob("[0-9a-f]*"):
            layout.verify(f"sha256:{blob.name}")
    assert image(Layout(tmp_path), b"after")


def test_what_killed_writers_left_is_swept(tmp_path: pathlib.Path) -> None:
    layout = Layout(tmp_path)
    layout.put(b"x")
    folder = tmp_path / "blobs/sha256"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (folder / f".partial-{dead.pid}-aa").write_bytes(b"half")
    (folder / f".partial-{os.getpid()}-bb").write_bytes(b"mine, being written")
    layout.sweep()
    assert sorted(path.name for path in folder.glob(".partial-*")) == [f".partial-{os.getpid()}-bb"]
    assert layout.read(digest_of(b"x")) == b"x"
