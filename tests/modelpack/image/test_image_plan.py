"""The whole image from tiny parts: layers, config, content digest, reuse, and the same digest wherever it is built."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace

import pytest
import tiny_parts

from modelpack.errors import EcomdeployError
from modelpack.image.assemble import assemble
from modelpack.image.oci.layout import Layout
from modelpack.image.oci.unpack import unpack
from modelpack.progress import Silent
from modelpack.server import file_manifest as server_manifest
from modelpack.server.hashing import FILE_MANIFEST
from modelpack.server.signature import Unfit

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]


def test_layers_and_config(tmp_path: pathlib.Path) -> None:
    layout = Layout(tmp_path / "layout")
    built = assemble(
        tiny_parts.parts(tmp_path, labels={"who": "me"}, env={"OMP_NUM_THREADS": "2"}), layout, Silent()
    )
    assert [layer.role for layer in built.layers] == ["base", "wheels", "app", "model", *["files"] * 3]
    manifest = layout.manifest(built.digest)
    config = json.loads(layout.read(manifest["config"]["digest"]))
    assert [layer["mediaType"].rpartition(".")[2] for layer in manifest["layers"]] == ["tar+gzip"] * 7
    assert manifest["annotations"]["dev.ecomdeploy.content-digest"] == built.content_digest
    assert config["config"]["Entrypoint"] == ["/usr/bin/python3", "-m", "modelpack.server"]
    assert config["config"]["Cmd"] == ["serve"]
    assert config["config"]["User"] == "65532:65532"
    assert config["config"]["ExposedPorts"] == {"8080/tcp": {}}
    assert config["config"]["Labels"] == {
        "com.amazonaws.sagemaker.capabilities.accept-bind-to-port": "true",
        "who": "me",
    }
    assert "PYTHONPATH=/opt/ecomdeploy/app:/opt/ecomdeploy/deps" in config["config"]["Env"]
    assert "OMP_NUM_THREADS=2" in config["config"]["Env"]
    assert config["rootfs"]["diff_ids"] == [layer.diff_id for layer in built.layers]
    assert built.size_bytes == layout.size(built.digest)
    assert layout.complete(built.digest)


def test_the_root_file_system(tmp_path: pathlib.Path) -> None:
    layout = Layout(tmp_path / "layout")
    root = unpack(layout, assemble(tiny_parts.parts(tmp_path), layout, Silent()).digest, tmp_path / "root")
    assert os.readlink(root / "lib") == "usr/lib"
    assert os.readlink(root / "lib64") == "usr/lib64"
    assert (root / "usr/lib/x86_64-linux-gnu/libtiny.so.1").read_bytes() == b"not a library"
    assert (root / "usr/bin/python3.11").stat().st_mode & 0o7777 == 0o755
    assert (root / "usr/lib/python3.11/tiny.py").stat().st_mode & 0o7777 == 0o644
    assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777
    assert "nonroot:x:65532:65532" in (root / "etc/passwd").read_text()
    assert (root / "etc/ssl/certs/ca-certificates.crt").read_bytes() == b"A\nB\n"
    assert (root / "usr/lib/ssl/cert.pem").read_bytes() == b"A\nB\n"
    assert "Package: tiny" in (root / "var/lib/dpkg/status.d/tiny").read_text()
    assert (root / "usr/share/doc/tiny/copyright").exists()
    assert not (root / "usr/share/doc/tiny/changelog.gz").exists()
    assert not (root / "usr/share/man").exists()
    assert (root / "opt/ecomdeploy/deps/shoplib/__init__.py").read_bytes() == b"x = 1\n"
    assert (root / "opt/ecomdeploy/app/modelpack/server/__main__.py").exists()
    assert (root / "opt/ecomdeploy/model/serving.json").read_bytes() == b"{}"


def listed_below(root: pathlib.Path) -> dict[str, str]:
    """All files that the manifest and its lists name."""
    manifest = json.loads((root / FILE_MANIFEST).read_bytes())
    lists = [json.loads((root / path).read_bytes()) for path in manifest["lists"]]
    return {path: digest for part in (manifest["files"], *lists) for path, digest in part.items()}


def test_the_seal_is_what_the_server_measures(tmp_path: pathlib.Path) -> None:
    layout = Layout(tmp_path / "layout")
    built = assemble(tiny_parts.parts(tmp_path), layout, Silent())
    root = unpack(layout, built.digest, tmp_path / "root")
    assert server_manifest.check(root) == built.content_digest
    manifest = json.loads((root / FILE_MANIFEST).read_bytes())
    listed = listed_below(root)
    present = {
        str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and not path.is_symlink()
    }
    assert set(listed) == present - {FILE_MANIFEST, *manifest["lists"]}
    for path, digest in {**listed, **manifest["lists"]}.items():
        assert hashlib.sha256((root / path).read_bytes()).hexdigest() == digest
    (root / "opt/ecomdeploy/model/serving.json").write_bytes(b"{ }")
    with pytest.raises(Exception, match=r"serving\.json \(changed\)"):
        server_manifest.check(root)


def test_files_that_runtimes_mount_over_are_not_sealed(tmp_path: pathlib.Path) -> None:
    files = {**tiny_parts.FILES, "etc/hosts": b"127.0.0.1 localhost\n", "etc/resolv.conf": b""}
    parts = tiny_parts.parts(tmp_path)
    base = (tiny_parts.deb(parts.downloads, files),)
    plain = assemble(parts, Layout(tmp_path / "layout"), Silent())
    with_hosts = assemble(replace(parts, base=base), Layout(tmp_path / "layout"), Silent())
    assert with_hosts.digest != plain.digest
    layout = Layout(tmp_path / "layout")
    listed = listed_below(unpack(layout, with_hosts.digest, tmp_path / "r"))
    assert not {"etc/hosts", "etc/resolv.conf"} & listed.keys()


def test_a_changed_part_changes_only_its_layer_and_the_seal(tmp_path: pathlib.Path) -> None:
    layout = Layout(tmp_path / "layout")
    first = assemble(tiny_parts.parts(tmp_path), layout, Silent())
    again = assemble(tiny_parts.parts(tmp_path), layout, Silent())
    assert again.digest == first.digest
    assert all(layer.reused for layer in again.layers)
    changed = assemble(tiny_parts.parts(tmp_path, model={"serving.json": b'{"epochs": 4}'}), layout, Silent())
    assert changed.content_digest != first.content_digest
    assert [layer.role for layer in changed.layers if not layer.reused] == ["model", "files"]


def test_of_a_large_package_a_changed_file_sends_few_others(tmp_path: pathlib.Path) -> None:
    """Which layer a file is in follows from its name: one more, or one that grew, moves no other."""
    layout = Layout(tmp_path / "layout")
    app = {f"modelpack/server/part{number}.py": b"#" * 3_000 for number in range(30)}
    app |= {"shop/__init__.py": b"", "shop/handler.py": b"own = 1"}

    def assembled(**changed: bytes) -> tuple[list[str], list[str]]:
        named = {f"{path.replace('__', '/')}.py": data for path, data in changed.items()}
        built = assemble(tiny_parts.parts(tmp_path, app={**app, **named}), layout, Silent())
        layers = layout.manifest(built.digest)["layers"]
        titles = [layer["annotations"]["dev.ecomdeploy.layer"] for layer in layers]
        return titles, [title for title, one in zip(titles, built.layers, strict=True) if not one.reused]

    titles, _ = assembled()
    shares = [f"app: modelpack {number} of 4" for number in (1, 2, 3, 4)]
    assert [title for title in titles if title.startswith("app")] == [*shares, "app: shop"]
    for changed in ({"modelpack__server__part7": b"#" * 9_000}, {"modelpack__server__new": b"new = True"}):
        share, index = assembled(**changed)[1]
        assert share in shares
        assert index == "files: content digest and files"
    assert assembled(shop__handler=b"own = 2")[1] == ["app: shop", "files: content digest and files"]


def test_changed_packages_send_their_list_and_the_base_s_stays(tmp_path: pathlib.Path) -> None:
    layout = Layout(tmp_path / "layout")
    parts = tiny_parts.parts(tmp_path)
    assemble(parts, layout, Silent())
    other = tiny_parts.wheel(parts.downloads, {"shoplib/__init__.py": b"x = 2\n"}, "other")
    built = assemble(replace(parts, wheels=(other,)), layout, Silent())
    assert [layer.reused for layer in built.layers] == [True, False, True, True, True, False, False]


@pytest.mark.parametrize("number", [0, 1])
def test_a_list_of_files_that_is_not_the_packed_one_is_told(tmp_path: pathlib.Path, number: int) -> None:
    layout = Layout(tmp_path / "layout")
    root = unpack(layout, assemble(tiny_parts.parts(tmp_path), layout, Silent()).digest, tmp_path / "root")
    path = sorted(json.loads((root / FILE_MANIFEST).read_bytes())["lists"])[number]
    listed = json.loads((root / path).read_bytes())
    listed.popitem()
    (root / path).write_text(json.dumps(listed))
    with pytest.raises(Unfit, match=rf"{path} is not the list of files that was packed"):
        server_manifest.check(root)
    (root / path).unlink()
    with pytest.raises(Unfit, match=rf"{path} is not the list of files that was packed"):
        server_manifest.check(root)


def test_a_shorter_manifest_has_another_content_digest(tmp_path: pathlib.Path) -> None:
    """Whoever takes a list out of `files.json` too is found by the content digest, over all that was packed."""
    layout = Layout(tmp_path / "layout")
    root = unpack(layout, assemble(tiny_parts.parts(tmp_path), layout, Silent()).digest, tmp_path / "root")
    manifest = json.loads((root / FILE_MANIFEST).read_bytes())
    manifest["lists"].popitem()
    (root / FILE_MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(Unfit, match="the files have content digest"):
        server_manifest.check(root)


def test_a_lost_or_cut_layer_is_built_again(tmp_path: pathlib.Path) -> None:
    layout = Layout(tmp_path / "layout")
    first = assemble(tiny_parts.parts(tmp_path), layout, Silent())
    layout.path(first.layers[0].digest).unlink()
    layout.path(first.layers[1].digest).write_bytes(b"cut")
    again = assemble(tiny_parts.parts(tmp_path), layout, Silent())
    assert again.digest == first.digest
    assert [layer.reused for layer in again.layers] == [False, False, *[True] * 5]
    layout.verify(first.layers[1].digest)


BUILD = """
import codecs
import os
import sys
from pathlib import Path
import tiny_parts
import zstandard
from modelpack.image.oci.layout import Layout
from modelpack.image.assemble import assemble
from modelpack.progress import Silent
folder = Path(sys.argv[1])
if sys.argv[2:]:
    # after the imports: another user may not reach this interpreter
    codecs.lookup("cp437")
    os.setgid(int(sys.argv[2]))
    os.setuid(int(sys.argv[2]))
print(assemble(tiny_parts.parts(folder), Layout(folder / "layout"), Silent()).digest)
"""


def built_elsewhere(folder: pathlib.Path, umask: int, cores: set[int], user: int | None) -> str:
    """The digest of the tiny image built by another process in another place."""
    folder.mkdir(parents=True)

    def prepare() -> None:
        os.umask(umask)
        os.sched_setaffinity(0, cores)

    arguments = [str(folder)]
    if user is not None:
        os.chown(folder, user, user)
        arguments.append(str(user))
    environment = {
        "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests/support'}",
        "TZ": "Asia/Tokyo",
        "LC_ALL": "C",
    }
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "random"}
    done = subprocess.run(
        [sys.executable, "-c", BUILD, *arguments],
        cwd=folder,
        env=environment,
        preexec_fn=prepare,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_same_digest_under_another_path_umask_and_core_count(tmp_path: pathlib.Path) -> None:
    cores = os.sched_getaffinity(0)
    one = built_elsewhere(tmp_path / "a", 0o022, cores, None)
    two = built_elsewhere(tmp_path / "deep" / "er" / ("b" * 60), 0o077, {min(cores)}, None)
    assert one == two
    assert one == assemble(tiny_parts.parts(tmp_path), Layout(tmp_path / "layout"), Silent()).digest


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become another user")
def test_the_same_digest_as_another_user(tmp_path: pathlib.Path) -> None:
    for parent in [tmp_path, *tmp_path.parents]:
        if parent == pathlib.Path(tempfile.gettempdir()):
            break
        parent.chmod(0o755)
    code = [pathlib.Path(sys.executable), *pathlib.Path(__file__).resolve().parents]
    if not all(place.stat().st_mode & 0o001 for place in code):
        pytest.skip("this checkout cannot be read by another user")
    other = built_elsewhere(tmp_path / "c", 0o027, os.sched_getaffinity(0), 65534)
    assert other == assemble(tiny_parts.parts(tmp_path), Layout(tmp_path / "layout"), Silent()).digest


def test_large_model_files_have_layers_of_their_own(tmp_path: pathlib.Path) -> None:
    noise = b"".join(
        hashlib.sha256(bytes([n % 256, n // 256 % 256, n // 65536])).digest() for n in range(140_000)
    )
    model = {"weights.bin": noise, "model.onnx": b"graph", "zeros.bin": b"\0" * 4_500_000}
    layout = Layout(tmp_path / "layout")
    built = assemble(tiny_parts.parts(tmp_path, model=model), layout, Silent())
    kinds = [entry["mediaType"] for entry in layout.manifest(built.digest)["layers"]]
    assert [layer.role for layer in built.layers] == [
        "base",
        "wheels",
        "app",
        "model",
        "model",
        "model",
        *["files"] * 3,
    ]
    assert kinds[3].endswith(".tar"), "noise is stored as it is"
    assert kinds[4].endswith(".tar+gzip")
    head = assemble(tiny_parts.parts(tmp_path, model={**model, "model.onnx": b"other"}), layout, Silent())
    assert [layer.role for layer in head.layers if not layer.reused] == ["model", "files"]


def test_missing_parts_are_named(tmp_path: pathlib.Path) -> None:
    layout = Layout(tmp_path / "layout")
    parts = tiny_parts.parts(tmp_path)
    with pytest.raises(EcomdeployError, match=r"nothere\.bin"):
        assemble(replace(parts, model={"x": tmp_path / "nothere.bin"}), layout, Silent())
    with pytest.raises(EcomdeployError, match="no python3"):
        assemble(replace(parts, base=(tiny_parts.deb(parts.downloads, {"etc/x": b""}),)), layout, Silent())
    shutil.rmtree(parts.downloads)
    with pytest.raises(EcomdeployError, match="has not been fetched"):
        assemble(parts, Layout(tmp_path / "other"), Silent())


def test_wheels_that_are_hostile_or_odd(tmp_path: pathlib.Path) -> None:
    layout = Layout(tmp_path / "layout")
    parts = tiny_parts.parts(tmp_path)
    bad = tiny_parts.wheel(parts.downloads, {"../../usr/bin/python3": b"!"}, "evil")
    with pytest.raises(EcomdeployError, match="leaves the image"):
        assemble(replace(parts, wheels=(bad,)), layout, Silent())
    odd = tiny_parts.wheel(
        parts.downloads,
        {
            "odd-1.0.data/purelib/odd/__init__.py": b"",
            "odd-1.0.data/scripts/odd-tool": b"#!python\nimport odd\n",
            "odd-1.0.data/data/share/odd.txt": b"1",
            "odd-1.0.data/headers/odd.h": b"",
        },
        "odd",
    )
    root = unpack(layout, assemble(replace(parts, wheels=(odd,)), layout, Silent()).digest, tmp_path / "root")
    deps = root / "opt/ecomdeploy/deps"
    assert (deps / "odd/__init__.py").exists()
    assert (deps / "bin/odd-tool").read_bytes() == b"#!/usr/bin/python3\nimport odd\n"
    assert (deps / "bin/odd-tool").stat().st_mode & 0o111
    assert (deps / "share/odd.txt").exists()
    assert not list(deps.rglob("odd.h"))


def test_a_file_that_changes_after_it_was_hashed_is_an_error(tmp_path: pathlib.Path) -> None:
    from modelpack.image import layers as plans
    from modelpack.image.layer import make

    parts = tiny_parts.parts(tmp_path)
    model = plans.of(parts, None)[-1]
    path = parts.model["model.onnx"]
    assert isinstance(path, pathlib.Path)
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(EcomdeployError, match=r"model\.onnx changed while it was packed"):
        make(model, Layout(tmp_path / "layout"))
