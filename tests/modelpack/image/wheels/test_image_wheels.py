"""Wheels: what pip resolves is locked, what is locked is fetched by hash, for the image's Python."""

from __future__ import annotations

import pathlib
import socket
import zipfile

import pytest
import tiny_parts

from modelpack.errors import EcomdeployError
from modelpack.image.parts import Wheel
from modelpack.image.wheels import files as wheel_files
from modelpack.image.wheels.lock import fetch_wheels, lock_wheels, path_of
from modelpack.progress import Silent


def package(
    folder: pathlib.Path, name: str, version: str, requires: str = "", tag: str = "py3-none-any"
) -> pathlib.Path:
    """A wheel that pip accepts."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    information = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += f"Requires-Dist: {requires}\n" if requires else ""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/__init__.py", b"")
        archive.writestr(f"{information}/METADATA", metadata)
        archive.writestr(f"{information}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr(f"{information}/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A folder of wheels that is all pip sees, by pip's own configuration."""
    folder = tmp_path / "index"
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    package(folder, "shop_lib", "1.0", "shop-dep>=2")
    package(folder, "shop_dep", "2.1")
    package(folder, "shop_dep", "2.2", tag="cp313-cp313-manylinux_2_28_x86_64")
    package(folder, "shop_dep", "2.3", tag="cp311-cp311-musllinux_1_2_x86_64")
    package(folder, "shop_dep", "2.0", tag="cp311-cp311-manylinux_2_17_x86_64")
    return folder


def test_resolved_for_the_image_and_fetched_by_hash(index: pathlib.Path, tmp_path: pathlib.Path) -> None:
    wheels = lock_wheels(["shop-lib"])
    assert [(wheel.name, wheel.version) for wheel in wheels] == [("shop-dep", "2.1"), ("shop-lib", "1.0")]
    assert lock_wheels(["shop-lib"], without={"Shop_Dep"}) == wheels[1:]
    package(index, "shop_search", "1.0", "shop-lib")
    without = lock_wheels(["shop-search"], without={"shop-lib"})
    assert [wheel.name for wheel in without] == ["shop-search"], "what only it needs goes with it"
    both = lock_wheels(["shop-search", "shop-dep"], without={"shop-lib"})
    assert [wheel.name for wheel in both] == ["shop-dep", "shop-search"]
    downloads = tmp_path / "downloads"
    paths = fetch_wheels(wheels, downloads, Silent())
    assert [path.name for path in paths] == ["shop_dep-2.1-py3-none-any.whl", "shop_lib-1.0-py3-none-any.whl"]
    quiet = Silent()
    assert fetch_wheels(wheels, downloads, quiet) == paths
    assert quiet.lines == [], "what is there is not fetched again"


def test_another_platform_tag_of_the_image_is_chosen(index: pathlib.Path) -> None:
    (only,) = lock_wheels(["shop-dep<2.1"])
    assert only.filename == "shop_dep-2.0-cp311-cp311-manylinux_2_17_x86_64.whl"


def test_a_corrupted_download_is_fetched_anew(index: pathlib.Path, tmp_path: pathlib.Path) -> None:
    wheels = lock_wheels(["shop-dep"])
    (path,) = fetch_wheels(wheels, tmp_path / "d", Silent())
    path.write_bytes(b"corrupted")
    fetch_wheels(wheels, tmp_path / "d", Silent())
    assert zipfile.is_zipfile(path)


def test_other_bytes_than_locked_are_refused(index: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (locked,) = lock_wheels(["shop-dep"])
    package(index, "shop_dep", "2.1", "something-new")
    with pytest.raises(EcomdeployError, match="cannot fetch the image's packages"):
        fetch_wheels([locked], tmp_path / "d", Silent())
    assert not path_of(locked, tmp_path / "d").exists()


def test_what_cannot_be_resolved_is_said(index: pathlib.Path) -> None:
    with pytest.raises(EcomdeployError, match="cannot resolve the image's packages: ERROR") as caught:
        lock_wheels(["shop-unknown"])
    assert "pip config list" in caught.value.hint


def test_an_index_that_is_not_reached_is_not_said_to_lack_a_version(
    index: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What pip says last is that there is no such version, also of a package that another one wants."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{nobody.getsockname()[1]}/simple")
        monkeypatch.setenv("PIP_RETRIES", "1")
        package(index, "shop_cart", "1.0", "nowhere>=2")
        for wanted in ("nowhere==2.0", "shop-cart"):
            with pytest.raises(EcomdeployError, match=r"index was not reached: .*refused") as caught:
                lock_wheels([wanted])
            assert "check the network" in caught.value.hint


def test_grouping_by_size(tmp_path: pathlib.Path) -> None:
    wheels = [
        tiny_parts.wheel(tmp_path, {"a/x.bin": b"\0" * size}, name)
        for name, size in {"small": 10, "big": 5_000_000, "tiny": 1, "huge": 6_000_000}.items()
    ]
    groups = wheel_files.group(wheels, tmp_path)
    assert [[wheel.name for wheel in group] for group in groups] == [["big"], ["huge"], ["small", "tiny"]]
    assert wheel_files.group((), tmp_path) == ()
    with pytest.raises(EcomdeployError, match="has not been fetched"):
        wheel_files.group((Wheel("x", "1", "x-1-py3-none-any.whl", "0" * 64),), tmp_path)


def test_a_file_without_a_name_is_refused(tmp_path: pathlib.Path) -> None:
    wheel = tiny_parts.wheel(tmp_path, {"a/x.bin": b"1"}, "nameless")
    with zipfile.ZipFile(path_of(wheel, tmp_path), "a") as archive:
        archive.writestr("x", b"")
        archive.filelist[-1].filename = ""
    with pytest.raises(EcomdeployError, match="is damaged: it has a file without a name"):
        list(wheel_files.entries([wheel], tmp_path))


def test_a_wheel_that_claims_more_than_it_can_hold_is_refused(tmp_path: pathlib.Path) -> None:
    wheel = Wheel("bomb", "1", "bomb-1-py3-none-any.whl", "0" * 64)
    path = path_of(wheel, tmp_path)
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("bomb.py", "x")
    data = bytearray(path.read_bytes())
    # the size before compression, in the central directory's entry (PKWARE's APPNOTE, 4.3.12)
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = b"\xf0\xff\xff\xff"
    path.write_bytes(data)
    with pytest.raises(
        EcomdeployError, match=r"bomb-1-py3-none-any\.whl is damaged: its files have more than"
    ):
        list(wheel_files.entries([wheel], tmp_path))


def test_newer_platforms_only_where_nothing_older_is_to_be_had(index: pathlib.Path) -> None:
    package(index, "shop_old", "1.0", tag="cp311-cp311-manylinux_2_28_x86_64")
    package(index, "shop_old", "1.1", tag="cp311-cp311-manylinux_2_31_x86_64")
    package(index, "shop_new", "1.0", tag="cp311-cp311-manylinux_2_36_x86_64")
    package(index, "shop_newer", "1.0", tag="cp311-cp311-manylinux_2_39_x86_64")
    assert [wheel.version for wheel in lock_wheels(["shop-old"])] == ["1.0"]
    assert [wheel.filename for wheel in lock_wheels(["shop-new"])] == [
        "shop_new-1.0-cp311-cp311-manylinux_2_36_x86_64.whl"
    ]
    with pytest.raises(EcomdeployError, match="cannot resolve"):
        lock_wheels(["shop-newer"])


def test_a_package_that_another_pins_and_the_index_lacks_is_named(index: pathlib.Path) -> None:
    """As vLLM's torch pins an NCCL that an index may not have."""
    package(index, "shop_engine", "1.0", "shop-torch==2.0")
    package(index, "shop_torch", "2.0", "shop-nccl==2.30.7; platform_system == 'Linux'")
    package(index, "shop_nccl", "2.29.1")
    with pytest.raises(EcomdeployError) as caught:
        lock_wheels(["shop-engine==1.0"])
    assert "no wheel of shop-nccl==2.30.7" in str(caught.value)
    assert "wanted by shop-torch" in str(caught.value)
    assert "2.29.1" in str(caught.value)
    assert "PIP_FIND_LINKS" in caught.value.hint
