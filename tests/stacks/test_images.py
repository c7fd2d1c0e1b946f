"""Images to the registry, over HTTP to the local cloud's own registry."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.rehearsal.cloud.daemon import loopback
from infra.rehearsal.cloud.registry.registry import RegistryServer
from infra.rehearsal.cloud.registry.repositories import FakeRepositories
from modelpack.home import Home
from modelpack.image.oci.layout import Layout
from modelpack.progress import Silent
from stacks.adapters.images import RegistryImages

OCI = "application/vnd.oci.image"


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[str]:
    server = loopback.listen(RegistryServer(tmp_path / "registry", FakeRepositories(names={"shop-local"})))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.effective_port}/shop-local"
    server.close()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home", tmp_path / "cache")


def image(home: Home, layer: bytes) -> str:
    layout = Layout(home.images)

    def blob(data: bytes, media: str) -> dict[str, object]:
        return {"mediaType": media, "digest": layout.put(data), "size": len(data)}

    document = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "config": blob(b'{"architecture":"amd64","os":"linux"}', f"{OCI}.config.v1+json"),
        "layers": [blob(layer, f"{OCI}.layer.v1.tar")],
    }
    return layout.put_manifest(document).digest


def test_only_what_is_missing_is_sent(repository: str, home: Home) -> None:
    images = RegistryImages(home, "http", lambda host: None)
    digest = image(home, b"layer" * 1000)
    assert images.is_stored(digest)
    assert images.is_reachable(repository)
    assert not images.holds(repository, digest)
    before = images.count_missing(repository, digest)
    assert before > 5000
    assert images.push(repository, digest, Silent()) >= 5000
    assert images.holds(repository, digest)
    assert images.count_missing(repository, digest) == 0
    told = Silent()
    assert images.push(repository, digest, told) == 0
    assert told.lines == [], "nothing to say when nothing is sent"


def test_a_repository_that_is_not_there(repository: str, home: Home) -> None:
    images = RegistryImages(home, "http", lambda host: None)
    digest = image(home, b"layer")
    nowhere = repository.replace("shop-local", "other")
    assert not images.is_reachable(nowhere)
    assert not images.holds(nowhere, digest)
    assert (
        images.count_missing(nowhere, digest)
        == images.count_missing("", digest)
        == Layout(home.images).size(digest)
    )


def test_an_image_that_lost_a_layer_is_not_stored(home: Home) -> None:
    images = RegistryImages(home, "http", lambda host: None)
    digest = image(home, b"layer")
    layer = Layout(home.images).manifest(digest)["layers"][0]["digest"]
    Layout(home.images).path(layer).unlink()
    assert not images.is_stored(digest)
    assert not images.is_stored("sha256:" + "0" * 64)
