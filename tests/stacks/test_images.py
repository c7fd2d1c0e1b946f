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
from modelpack.image.oci.attachments import attach
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


@pytest.fixture
def other_repository(tmp_path: Path) -> Iterator[str]:
    names = FakeRepositories(names={"shop-prod"})
    server = loopback.listen(RegistryServer(tmp_path / "other", names))
    threading.Thread(target=server.run, daemon=True).start()
    yield f"127.0.0.1:{server.effective_port}/shop-prod"
    server.close()


def test_an_image_goes_from_registry_to_registry_with_what_is_attached(
    repository: str, other_repository: str, home: Home, tmp_path: Path
) -> None:
    """On a machine that never built it, and sent on without what is there already."""
    here = RegistryImages(home, "http", lambda host: None)
    digest = image(home, b"layer" * 1000)
    attach(Layout(home.images), digest, "application/vnd.shop.record", b"proven")
    here.push(repository, digest, Silent())
    fresh = Home(tmp_path / "fresh", tmp_path / "cache")
    there, told = RegistryImages(fresh, "http", lambda host: None), Silent()
    there.fetch(f"{repository}@{digest}", told)
    assert there.is_stored(digest)
    there.push(other_repository, digest, Silent())
    registry = there.registry(other_repository)
    assert registry.manifest_bytes(digest) == Layout(home.images).read(digest)
    (record,) = registry.referrers(digest)
    assert registry.blob(registry.manifest(record.digest)["layers"][0]["digest"]) == b"proven"
    again = Silent()
    there.fetch(f"{repository}@{digest}", again)
    assert (told.lines != [], again.lines) == (True, [])


def test_what_the_registry_holds_need_not_be_here_to_be_pushed(
    repository: str, home: Home, tmp_path: Path
) -> None:
    digest = image(home, b"layer")
    RegistryImages(home, "http", lambda host: None).push(repository, digest, Silent())
    elsewhere = RegistryImages(Home(tmp_path / "fresh", tmp_path / "cache"), "http", lambda host: None)
    assert elsewhere.push(repository, digest, Silent()) == 0
