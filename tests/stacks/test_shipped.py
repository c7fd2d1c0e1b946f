"""What a machine with an empty home finds in ledger and registry, over HTTP to the local cloud's own registry."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.rehearsal.cloud.daemon import loopback
from infra.rehearsal.cloud.registry.registry import RegistryServer
from infra.rehearsal.cloud.registry.repositories import FakeRepositories
from modelpack.home import Home
from modelpack.image.config import ROLE
from modelpack.image.oci.attachments import attach, attachments
from modelpack.image.oci.layout import Layout
from modelpack.pack import RECORD, SAMPLES
from modelpack.progress import Silent
from stacks.adapters.images import RegistryImages
from stacks.adapters.shipped import ShippedPacks
from stacks.records.ledger import Ledger
from stacks.records.release import Packed, Release, ServingConfiguration
from stacks.records.store import InMemoryStore

OCI = "application/vnd.oci.image"
SERVING = ServingConfiguration(target="sagemaker", instance="ml.c7i.xlarge")


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[str]:
    server = loopback.listen(RegistryServer(tmp_path / "registry", FakeRepositories(names={"shop-local"})))
    threading.Thread(target=server.run, daemon=True).start()
    yield f"127.0.0.1:{server.effective_port}/shop-local"
    server.close()


def image(layout: Layout, word: str) -> str:
    """Of a base and a model, its record saying that the model was made of `word`."""

    def blob(data: bytes, media: str, role: str = "") -> dict[str, object]:
        told = {"annotations": {ROLE: role}} if role else {}
        return {"mediaType": f"{OCI}.{media}", "digest": layout.put(data), "size": len(data), **told}

    layers = [
        blob(b"base" * 999, "layer.v1.tar", "base: packages"),
        blob(word.encode() * 9, "layer.v1.tar", "model: 1"),
    ]
    config = blob(json.dumps({"rootfs": {"diff_ids": ["sha256:a", word]}}).encode(), "config.v1+json")
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "config": config,
        "layers": layers,
    }
    digest = layout.put_manifest(manifest).digest
    attach(layout, digest, RECORD, json.dumps({"provenance": {"inputs": word}}).encode())
    attach(layout, digest, SAMPLES, b"[]")
    return digest


@pytest.fixture
def shipped(repository: str, tmp_path: Path) -> ShippedPacks:
    """Three releases, shipped from another machine; this one's home is empty."""
    there = RegistryImages(Home(tmp_path / "there", tmp_path), "http", lambda host: None)
    ledger = Ledger(InMemoryStore(), lambda: datetime(2026, 11, 24, 12, tzinfo=UTC))
    for word in ("one", "two", "three"):
        digest = image(there.layout(), word)
        there.push(repository, digest, Silent())
        pack = Packed(digest=digest, content_digest="sha256:c", input_digest=f"sha256:{word}", usecase="u")
        release = Release(
            number=0,
            service="shop",
            environment="local",
            pack=pack,
            image=f"{repository}@{digest}",
            serving=SERVING,
        )
        ledger.finish(ledger.begin(release).number)
    return ShippedPacks(ledger, RegistryImages(Home(tmp_path / "here", tmp_path), "http", lambda host: None))


def test_a_pack_of_these_very_inputs_is_known_by_the_ledger(shipped: ShippedPacks) -> None:
    for word in ("one", "two", "three"):
        found = shipped.find(f"sha256:{word}")
        assert found is not None
        assert found.input_digest == f"sha256:{word}"
    assert shipped.find("sha256:four") is None


def test_a_pack_whose_image_the_registry_lost_is_not_known(shipped: ShippedPacks, tmp_path: Path) -> None:
    (release,) = (one for one in shipped.releases() if one.pack.input_digest == "sha256:two")
    other = Layout(tmp_path / "other")
    elsewhere = image(other, "elsewhere")
    lost = ShippedPacks(Ledger(InMemoryStore(), shipped.ledger.clock), shipped.images)
    assert lost.find("sha256:two") is None, "no release"
    for gone in (
        release.image.replace(release.pack.digest, elsewhere),
        release.image.replace("shop-local", "gone"),
    ):
        begun = lost.ledger.begin(
            Release(
                number=0,
                service="shop",
                environment="local",
                pack=release.pack,
                image=gone,
                serving=SERVING,
            )
        )
        lost.ledger.finish(begun.number)
        assert lost.find("sha256:two") is None
        assert lost.bring("two", other, Silent()) is None


def test_a_model_comes_without_the_rest_of_its_image(shipped: ShippedPacks) -> None:
    layout, progress = shipped.images.layout(), Silent()
    digest = shipped.bring("two", layout, progress)
    assert digest is not None
    base, model = layout.manifest(digest)["layers"]
    assert (layout.has(base["digest"]), layout.has(model["digest"])) == (False, True)
    assert layout.read(model["digest"]) == b"two" * 9
    assert json.loads(attachments(layout, digest, RECORD)[0])["provenance"]["inputs"] == "two"
    assert attachments(layout, digest, SAMPLES) == (b"[]",)
    assert not shipped.images.is_stored(digest), "what is not whole is not taken for an image"
    assert any(line.startswith("Taking the model from") for line in progress.lines)


@pytest.mark.parametrize("record", [b"[", b"[1]", b'{"provenance": 3}', b"[" * 100_000])
def test_a_record_that_is_none_is_told_and_its_model_stays_away(
    shipped: ShippedPacks, repository: str, tmp_path: Path, record: bytes
) -> None:
    there = RegistryImages(Home(tmp_path / "there", tmp_path), "http", lambda host: None)
    (newest, *_) = shipped.releases()
    attach(there.layout(), newest.pack.digest, RECORD, record)
    there.push(repository, newest.pack.digest, Silent())
    layout = shipped.images.layout()
    found = shipped.bring("one", layout, Silent())
    assert found is None or json.loads(attachments(layout, found, RECORD)[0])["provenance"]["inputs"] == "one"


def test_what_no_release_was_made_of_is_nowhere(shipped: ShippedPacks) -> None:
    progress = Silent()
    assert shipped.bring("four", shipped.images.layout(), progress) is None
    assert progress.lines == []
