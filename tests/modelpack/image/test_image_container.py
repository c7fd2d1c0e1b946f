"""Strangers read and run our image: skopeo, umoci, podman with runc, from a registry that we pushed to."""

from __future__ import annotations

import json
import pathlib
import subprocess

import container
import httpx
import model_server
import pytest
import real_image
from tiny_registry import serving

from modelpack.image.assemble import assemble
from modelpack.image.oci.attachments import attach
from modelpack.image.oci.layout import Layout
from modelpack.image.oci.unpack import unpack
from modelpack.image.parts import Built, ImageParts
from modelpack.image.registry.client import RegistryClient
from modelpack.image.registry.push import missing
from modelpack.image.registry.push import push as send
from modelpack.progress import Silent
from modelpack.server import file_manifest

pytestmark = [pytest.mark.slow, pytest.mark.network]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> ImageParts:
    return real_image.parts(tmp_path_factory.mktemp("parts"))


@pytest.fixture(scope="module")
def image(parts: ImageParts, tmp_path_factory: pytest.TempPathFactory) -> tuple[Layout, Built]:
    layout = Layout(tmp_path_factory.mktemp("image") / "layout")
    return layout, assemble(parts, layout, Silent())


def push(image: tuple[Layout, Built], host: str) -> str:
    layout, built = image
    attach(layout, built.digest, "application/vnd.ecomdeploy.record.v1+json", b"{}")
    with RegistryClient(f"http://{host}", "shop") as registry:
        send(registry, layout, built.digest, "one", Silent())
        assert missing(registry, layout, built.digest) == 0
        assert len(registry.referrers(built.digest)) == 1, (
            "by the fallback tag: this registry has no referrers API"
        )
    return f"{host}/shop@{built.digest}"


@pytest.mark.container
def test_skopeo_reads_what_we_pushed(image: tuple[Layout, Built], tmp_path: pathlib.Path) -> None:
    skopeo = container.tool("skopeo")
    with container.registry(tmp_path) as host:
        reference = push(image, host)
        command = [skopeo, "inspect", "--tls-verify=false", f"docker://{reference}"]
        seen = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    layout, built = image
    assert seen["Digest"] == built.digest
    assert seen["Layers"] == [layer.digest for layer in built.layers]
    assert (seen["Architecture"], seen["Os"]) == ("amd64", "linux")
    name = f"oci:{layout.root}:pack-{built.digest.removeprefix('sha256:')[:12]}"
    seen = json.loads(
        subprocess.run([skopeo, "inspect", name], capture_output=True, text=True, check=True).stdout
    )
    assert seen["Digest"] == built.digest


@pytest.mark.container
def test_podman_runs_it_and_it_answers(image: tuple[Layout, Built], tmp_path: pathlib.Path) -> None:
    _, built = image
    with (
        container.registry(tmp_path) as host,
        container.started(tmp_path / "podman", push(image, host)) as running,
    ):
        golden = model_server.serving()["golden"][0]
        answer = httpx.post(f"{running.url}/invocations", json=golden["request"])
        assert answer.status_code == 200
        got = answer.json()["predictions"]
        assert [row["products"] for row in got] == [
            row["products"] for row in golden["answer"]["predictions"]
        ]
        assert answer.headers["x-amzn-sagemaker-custom-attributes"] == built.content_digest
        inside = running.run("exec", running.name, "/usr/bin/python3", "-c", INSIDE)
        assert inside.returncode == 0, inside.stderr
        assert json.loads(inside.stdout) == [65532, True, "nonroot", "Debian GNU/Linux"], inside.stderr
        assert running.stop() == 0, "SIGTERM drains and ends well"


INSIDE = """
import json, os, platform, pwd, ssl
try:
    open("/opt/ecomdeploy/app/x", "w")
    locked = False
except OSError:
    locked = True
assert ssl.create_default_context().get_ca_certs()
import sqlite3, ctypes, lzma, bz2, uuid, readline
print(json.dumps([os.getuid(), locked, pwd.getpwuid(os.getuid()).pw_name, platform.freedesktop_os_release()["NAME"]]))
"""


def test_the_same_digest_from_another_place(
    image: tuple[Layout, Built], parts: ImageParts, tmp_path: pathlib.Path
) -> None:
    _, built = image
    again = assemble(real_image.elsewhere(parts, tmp_path), Layout(tmp_path / "other"), Silent())
    assert again.digest == built.digest
    assert again.content_digest == built.content_digest


def test_bytecode_is_by_the_images_python_and_used(
    image: tuple[Layout, Built], tmp_path: pathlib.Path
) -> None:
    layout, built = image
    root = unpack(layout, built.digest, tmp_path / "root")
    assert file_manifest.check(root) == built.content_digest
    compiled = list((root / "opt/ecomdeploy/app").rglob("*.pyc"))
    assert len(compiled) == len(list((root / "opt/ecomdeploy/app").rglob("*.py")))
    loader = root / "lib64/ld-linux-x86-64.so.2"
    libraries = root / "usr/lib/x86_64-linux-gnu"
    command: list[str | pathlib.Path] = [
        loader,
        "--library-path",
        libraries,
        root / "usr/bin/python3",
        "-S",
        "-v",
        "-c",
        "import modelpack.server.golden",
    ]
    environment = {"PYTHONPATH": str(root / "opt/ecomdeploy/app"), "PYTHONHOME": str(root / "usr")}
    # Elsewhere than in the checkout: `-c` looks for modules in the working folder first.
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    compiled_golden = root / "opt/ecomdeploy/app/modelpack/server/__pycache__/golden.cpython-311.pyc"
    assert f"{compiled_golden} matches" in done.stderr


def test_a_small_change_is_a_small_push(
    image: tuple[Layout, Built], parts: ImageParts, tmp_path: pathlib.Path
) -> None:
    import dataclasses

    layout, first = image
    note = dataclasses.replace(parts, app={**parts.app, "modelpack/note.py": b"new = True\n"})
    second = assemble(note, layout, Silent())
    assert {layer.role for layer in second.layers if not layer.reused} == {"app", "files"}
    known = {layer.digest for layer in first.layers}
    changed = sum(layer.size for layer in second.layers if layer.digest not in known)
    # 66 kB: of the server's 0.35 MB the share with that file, the list of the files of server and model.
    assert changed < 80_000 < 50_000_000 < second.size_bytes
    with serving() as fake, RegistryClient(fake.url, "shop") as registry:
        send(registry, layout, first.digest, "one", Silent())
        sent = send(registry, layout, second.digest, "two", Silent())
    # these, and config and manifest, the latter by its digest and by its tag
    assert (sent.blobs_sent, fake.received > second.size_bytes) == (3, True)
    assert changed < sent.bytes_sent < 90_000
