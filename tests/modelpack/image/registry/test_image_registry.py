"""The registry client: sends what is missing, once, through cuts, refusals and odd registries."""

from __future__ import annotations

import hashlib
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest
import tiny_parts
from tiny_registry import TinyRegistry, serving

from modelpack.errors import BadInput, CloudRefused, EcomdeployError
from modelpack.image.assemble import assemble
from modelpack.image.download import MOST_SMALL
from modelpack.image.oci.attachments import attach
from modelpack.image.oci.layout import Layout
from modelpack.image.oci.unpack import unpack
from modelpack.image.parts import BaseImage
from modelpack.image.registry.client import RegistryClient, fallback_tag
from modelpack.image.registry.pull import pull
from modelpack.image.registry.push import missing, push
from modelpack.progress import Silent
from modelpack.server import file_manifest

REPOSITORY = pathlib.Path(__file__).resolve().parents[4]
RECORD = "application/vnd.test.record.v1+json"


def built(tmp_path: pathlib.Path, **changed: Any) -> tuple[Layout, str]:
    layout = Layout(tmp_path / "layout")
    digest = assemble(tiny_parts.parts(tmp_path, **changed), layout, Silent()).digest
    attach(layout, digest, RECORD, b'{"metric": 1}')
    return layout, digest


def client(registry: TinyRegistry, credentials: tuple[str, str] | None = None) -> RegistryClient:
    return RegistryClient(registry.url, "shop", credentials, sleep=lambda seconds: None)


def noise(size: int) -> bytes:
    return b"".join(hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(size // 32))


class Bar(Silent):
    """Adds up how far the bar moved."""

    def __init__(self) -> None:
        super().__init__()
        self.total = self.moved = 0.0

    def track(self, title: str, total: float, unit: str) -> Any:
        bar = self

        class Track:
            def __enter__(self) -> Any:
                bar.total += total
                return self.advance

            def __exit__(self, *problem: object) -> None:
                pass

            @staticmethod
            def advance(amount: float) -> None:
                assert amount >= 0
                bar.moved += amount

        return Track()


@pytest.mark.parametrize("behaviour", [{}, {"upload_status": 201}, {"referrers_api": False}])
def test_everything_arrives_and_a_second_push_sends_nothing(
    tmp_path: pathlib.Path, behaviour: dict[str, Any]
) -> None:
    layout, digest = built(tmp_path)
    with serving(**behaviour) as fake, client(fake) as registry:
        assert registry.exists()
        expected = missing(registry, layout, digest)
        assert expected > layout.size(digest)
        bar = Bar()
        pushed = push(registry, layout, digest, "one", bar)
        assert fake.received == pushed.bytes_sent >= expected
        assert bar.moved == bar.total == expected
        assert fake.manifests["one"][0] == layout.read(digest)
        (record,) = registry.referrers(digest)
        assert record.artifact_type == RECORD
        assert registry.referrers(digest, "other/type") == ()
        assert registry.blob(registry.manifest(record.digest)["layers"][0]["digest"]) == b'{"metric": 1}'
        assert missing(registry, layout, digest) == 0
        before = fake.received
        again = push(registry, layout, digest, "one", Silent())
        assert (again.bytes_sent, again.blobs_sent, fake.received) == (0, 0, before)
        assert again.blobs_present == 8, "config and seven layers"


def test_the_fallback_tag_keeps_all_referrers(tmp_path: pathlib.Path) -> None:
    layout, digest = built(tmp_path)
    with serving(referrers_api=False) as fake, client(fake) as registry:
        push(registry, layout, digest, "one", Silent())
        attach(layout, digest, "application/vnd.test.samples.v1+json", b"[]")
        sent = push(registry, layout, digest, "one", Silent())
        assert sent.blobs_sent == 1
        assert {found.artifact_type for found in registry.referrers(digest)} == {
            RECORD,
            "application/vnd.test.samples.v1+json",
        }
        assert fallback_tag(digest) in fake.manifests


def test_only_what_changed_is_sent(tmp_path: pathlib.Path) -> None:
    layout, digest = built(tmp_path, model={"model.onnx": noise(200_000)})
    with serving() as fake, client(fake) as registry:
        first = push(registry, layout, digest, "one", Silent())
        second = built(
            tmp_path, model={"model.onnx": noise(200_000)}, app={"modelpack/__init__.py": b"# new"}
        )[1]
        assert second != digest
        expected = missing(registry, layout, second)
        sent = push(registry, layout, second, "two", Silent())
        assert sent.bytes_sent < first.bytes_sent / 20
        assert expected <= sent.bytes_sent < 10_000
        assert sent.blobs_present == 7, (
            "base, wheels, model, the lists of both, and the two blobs of the record"
        )


def test_a_push_goes_on_where_it_was_cut(tmp_path: pathlib.Path) -> None:
    layout, digest = built(tmp_path, model={"model.onnx": noise(600_000)})
    with serving(cuts=2) as fake, client(fake) as registry:
        bar = Bar()
        sent = push(registry, layout, digest, "one", bar)
        assert fake.cuts == 0
        assert fake.received == sent.bytes_sent + 2 * fake.cut_after
        assert bar.moved == bar.total, "bytes sent twice count once"


@pytest.mark.parametrize(
    "trouble",
    [
        {"failures": [("POST", 503), ("PUT", 500), ("HEAD", 502), ("POST", 429)]},
        {"forgets_sessions": 2},
        {"failures": [("PUT", 429)] * 3},
    ],
)
def test_passing_trouble_is_waited_out(tmp_path: pathlib.Path, trouble: dict[str, Any]) -> None:
    layout, digest = built(tmp_path)
    with serving(**trouble) as fake, client(fake) as registry:
        push(registry, layout, digest, "one", Silent())
        assert fake.failures == []
        assert missing(registry, layout, digest) == 0


def test_lasting_trouble_ends_with_a_hint(tmp_path: pathlib.Path) -> None:
    layout, digest = built(tmp_path)
    with (
        serving(failures=[("PUT", 503)] * 1000) as fake,
        client(fake) as registry,
        pytest.raises(EcomdeployError, match="503 TRY not now") as caught,
    ):
        push(registry, layout, digest, "one", Silent())
    assert "run the same command again" in caught.value.hint
    assert caught.value.where == fake.url


def test_a_registry_that_is_down(tmp_path: pathlib.Path) -> None:
    layout, digest = built(tmp_path)
    with RegistryClient("http://127.0.0.1:9", "shop", sleep=lambda seconds: None) as registry:
        assert not registry.exists()
        with pytest.raises(EcomdeployError, match="no luck in 6 tries"):
            push(registry, layout, digest, "one", Silent())


def test_an_unknown_repository(tmp_path: pathlib.Path) -> None:
    layout, digest = built(tmp_path)
    with serving() as fake, RegistryClient(fake.url, "other") as registry:
        assert not registry.exists()
        with pytest.raises(EcomdeployError, match="NAME_UNKNOWN") as error:
            push(registry, layout, digest, "one", Silent())
        assert "before the first push" in error.value.hint


def test_a_corrupted_blob_here_is_found_before_it_is_believed(tmp_path: pathlib.Path) -> None:
    layout, digest = built(tmp_path)
    blob = layout.path(layout.manifest(digest)["layers"][0]["digest"])
    data = blob.read_bytes()
    blob.write_bytes(b"x" + data[1:])
    with (
        serving() as fake,
        client(fake) as registry,
        pytest.raises(EcomdeployError, match="corrupted on disk"),
    ):
        push(registry, layout, digest, "one", Silent())
    assert not fake.manifests


@pytest.mark.parametrize("bearer", ["", "a-token"])
def test_passwords_and_tokens(tmp_path: pathlib.Path, bearer: str) -> None:
    layout, digest = built(tmp_path)
    with serving(password=("AWS", "secret"), bearer=bearer) as fake:
        with client(fake, ("AWS", "secret")) as registry:
            push(registry, layout, digest, "one", Silent())
            assert missing(registry, layout, digest) == 0
        assert fake.asked.count("GET /token") <= 4 if bearer else "GET /token" not in fake.asked
        for wrong in (None, ("AWS", "wrong")):
            with client(fake, wrong) as registry, pytest.raises(CloudRefused) as caught:
                push(registry, layout, digest, "one", Silent())
            assert "secret" not in str(caught.value)
            assert caught.value.hint


def test_a_token_that_runs_out_is_renewed(tmp_path: pathlib.Path) -> None:
    layout, digest = built(tmp_path)
    with serving(bearer="first") as fake, client(fake) as registry:
        assert missing(registry, layout, digest) > 0
        fake.bearer = "second"
        push(registry, layout, digest, "one", Silent())
        assert missing(registry, layout, digest) == 0


def test_no_password_over_plain_http_to_another_machine() -> None:
    import httpx

    from modelpack.image.registry.auth import RegistryAuth

    auth = RegistryAuth(("user", "secret"))
    request = httpx.Request("GET", "http://registry.example/v2/")
    flow = auth.sync_auth_flow(request)
    next(flow)
    challenge = httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="x"'}, request=request)
    with pytest.raises(CloudRefused, match="plain HTTP"):
        flow.send(challenge)


def test_four_blobs_at_a_time(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    model = {}
    for number in range(4):
        path = folder / f"{number}.bin"
        path.write_bytes(noise(4_100_000) + bytes([number]))
        model[path.name] = path
    layout, digest = built(tmp_path, model=model)
    with serving() as fake, client(fake) as registry:
        push(registry, layout, digest, "one", Silent())
        assert 1 < fake.busiest <= 4


PUSH = """
import resource, sys
from pathlib import Path
from modelpack.image.oci.layout import Layout
from modelpack.image.registry.client import RegistryClient
from modelpack.image.registry.push import missing, push
from modelpack.progress import Silent
layout, digest, url = Layout(Path(sys.argv[1])), sys.argv[2], sys.argv[3]
with RegistryClient(url, "shop") as registry:
    missing(registry, layout, digest)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    push(registry, layout, digest, "one", Silent())
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_blob_is_never_in_memory_as_a_whole(tmp_path: pathlib.Path) -> None:
    big = tmp_path / "noise"
    big.write_bytes(os.urandom(1_000_000) * 151)
    layout, digest = built(tmp_path, model={"weights.bin": big})
    assert layout.size(digest) > 150_000_000
    with serving() as fake:
        arguments = [str(layout.root), digest, fake.url]
        grown = subprocess.run(
            [sys.executable, "-c", PUSH, *arguments],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        )
        assert fake.received > 150_000_000
    assert int(grown.stdout) < 50, "megabytes"


def test_pull_and_unpack(tmp_path: pathlib.Path) -> None:
    layout, digest = built(tmp_path)
    with serving(flips=1) as fake, client(fake) as registry:
        push(registry, layout, digest, "one", Silent())
        other = Layout(tmp_path / "other")
        assert pull(registry, other, "one", Silent()) == digest
        assert unpack(other, digest, tmp_path / "root").joinpath("usr/bin/python3").is_symlink()
        with pytest.raises(EcomdeployError, match="no manifest missing"):
            pull(registry, other, "missing", Silent())


def test_a_manifest_with_other_bytes_is_refused(tmp_path: pathlib.Path) -> None:
    layout, digest = built(tmp_path)
    with serving() as fake, client(fake) as registry:
        push(registry, layout, digest, "one", Silent())
        fake.manifests[digest] = (b'{"evil": true}', fake.manifests[digest][1])
        with pytest.raises(EcomdeployError, match="other bytes"):
            registry.manifest(digest)


def test_a_registry_that_sends_without_end_is_stopped(tmp_path: pathlib.Path) -> None:
    """A manifest is not gathered in memory, a blob not kept beyond the size that its manifest says."""
    layout, digest = built(tmp_path)
    with serving() as fake, client(fake) as registry:
        push(registry, layout, digest, "one", Silent())
        layer = layout.manifest(digest)["layers"][0]["digest"]
        fake.blobs[layer] += b"x"
        with pytest.raises(EcomdeployError, match=r"arrived with more than its [\d,]+ bytes"):
            pull(registry, Layout(tmp_path / "other"), "one", Silent())
        fake.manifests[digest] = (bytes(MOST_SMALL + 1), fake.manifests[digest][1])
        with pytest.raises(EcomdeployError, match=f"answers with more than {MOST_SMALL:,} bytes"):
            registry.manifest(digest)


def test_a_base_from_a_registry(tmp_path: pathlib.Path) -> None:
    layout, digest = built(tmp_path)
    with serving() as fake, client(fake) as registry:
        push(registry, layout, digest, "base", Silent())
        host = fake.url.removeprefix("http://")
        own = Layout(tmp_path / "own")
        told = Silent()
        parts = tiny_parts.parts(
            tmp_path, base=BaseImage(f"{host}/shop@{digest}"), app={"app.py": b"new = 1"}
        )
        image = assemble(parts, own, told)
        assert f"base: {host}/shop@{digest}" in told.lines
        assert [layer.role for layer in image.layers] == ["base"] * 7 + [
            "wheels",
            "app",
            "model",
            *["files"] * 3,
        ]
        assert own.complete(image.digest)
        root = unpack(own, image.digest, tmp_path / "root")
        assert file_manifest.check(root) == image.content_digest
        assert (root / "opt/ecomdeploy/app/app.py").exists()
        with pytest.raises(BadInput, match="must be host/name@sha256"):
            assemble(tiny_parts.parts(tmp_path, base=BaseImage(f"{host}/shop:base")), own, told)
