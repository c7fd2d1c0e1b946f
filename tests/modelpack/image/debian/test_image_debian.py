"""Debian packages: locked against the signed index and nothing else, fetched by hash, re-locked out loud."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pysequoia
import pytest
import zstandard
from debian_mirror import FakeMirror, serving
from hypothesis import given
from hypothesis import strategies as st
from layers import folder, hard_link, link, member, tar_of
from stranger_files import ar, control_tar
from waiting import SECONDS

from modelpack.errors import BadInput, EcomdeployError
from modelpack.image.debian import deb
from modelpack.image.debian.decompress import MOST, decompress
from modelpack.image.debian.lock import fetch_debs, lock_debs, path_of
from modelpack.image.debian.mirror import DEBIAN, SECURITY, Mirror, of_host
from modelpack.image.debian.signature import KEYS, signed_text
from modelpack.image.debian.version import by_version, compare, satisfies
from modelpack.image.download import MOST_SMALL
from modelpack.image.parts import Deb
from modelpack.progress import Silent


@pytest.fixture
def mirror(tmp_path: pathlib.Path) -> Iterator[FakeMirror]:
    with serving(tmp_path / "mirror") as fake:
        fake.packages = {
            "python3": (
                "3.11.2-1",
                "libc6 (>= 2.34), debconf | debconf-2.0, editor-lib",
                {"usr/bin/python3": b"py"},
            ),
            "libc6": ("2.36-9", "", {"lib/libc.so.6": b"libc"}),
            "nano-lib": ("1.0", "libc6", {"usr/lib/nano": b""}),
            "base-files": ("12.4", "awk", {"usr/lib/os-release": b"NAME=Debian"}),
            "netbase": ("6.4", "", {"etc/services": b""}),
            "unused": ("1.0", "", {"x": b""}),
        }
        fake.provides = {"nano-lib": "editor-lib"}
        fake.publish()
        yield fake


def lock(
    mirror: FakeMirror, tmp_path: pathlib.Path, packages: tuple[str, ...] = ("python3",), **more: Any
) -> tuple[Deb, ...]:
    keyring = more.pop("keyring", mirror.keyring)
    return lock_debs(
        tmp_path / "downloads", Silent(), packages, mirror=mirror.mirror, keyring=keyring, **more
    )


def fetch(
    mirror: FakeMirror, tmp_path: pathlib.Path, debs: tuple[Deb, ...], progress: Silent
) -> tuple[Deb, ...]:
    return fetch_debs(debs, tmp_path / "downloads", progress, ("python3",), mirror.mirror, mirror.keyring)


def test_the_closure_with_versions_and_hashes(mirror: FakeMirror, tmp_path: pathlib.Path) -> None:
    debs = lock(mirror, tmp_path)
    assert [(found.name, found.version) for found in debs] == [
        ("base-files", "12.4"),
        ("libc6", "2.36-9"),
        ("nano-lib", "1.0"),
        ("netbase", "6.4"),
        ("python3", "3.11.2-1"),
    ]
    progress = Silent()
    assert fetch(mirror, tmp_path, debs, progress) == debs
    for found in debs:
        data = path_of(found, tmp_path / "downloads").read_bytes()
        assert hashlib.sha256(data).hexdigest() == found.sha256
        assert len(data) == found.size
        assert f"Package: {found.name}" in deb.read(path_of(found, tmp_path / "downloads")).control


def test_locked_and_fetched_needs_no_mirror(mirror: FakeMirror, tmp_path: pathlib.Path) -> None:
    debs = lock(mirror, tmp_path)
    fetch(mirror, tmp_path, debs, Silent())
    mirror.asked.clear()
    assert fetch(mirror, tmp_path, debs, Silent()) == debs
    assert mirror.asked == []


def test_an_index_of_another_signer_is_refused(mirror: FakeMirror, tmp_path: pathlib.Path) -> None:
    mirror.publish(key=pysequoia.Tsk.generate("Somebody <somebody@example.org>"))
    with pytest.raises(EcomdeployError, match="not signed by") as caught:
        lock(mirror, tmp_path)
    assert "InRelease" in caught.value.where
    assert "Stack backtrace" not in str(caught.value)


def test_an_unsigned_or_edited_index_is_refused(mirror: FakeMirror, tmp_path: pathlib.Path) -> None:
    release = mirror.root / "www/dists/bookworm/InRelease"
    signed = release.read_bytes()
    release.write_bytes(signed.replace(b"Codename: bookworm", b"Codename: bookworn"))
    with pytest.raises(EcomdeployError, match="not signed by"):
        lock(mirror, tmp_path)
    release.write_bytes(b"Codename: bookworm\nSHA256:\n")
    with pytest.raises(EcomdeployError, match="not signed by"):
        lock(mirror, tmp_path)
    # text before the signed part must not count, whoever signed the rest
    release.write_bytes(b"Codename: bookworm\nSHA256:\n 00 1 main/binary-amd64/Packages.xz\n\n" + signed)
    assert [found.name for found in lock(mirror, tmp_path)] == [
        "base-files",
        "libc6",
        "nano-lib",
        "netbase",
        "python3",
    ]


def test_debians_own_keys_do_not_trust_this_mirror(mirror: FakeMirror, tmp_path: pathlib.Path) -> None:
    with pytest.raises(EcomdeployError, match="not signed by debian-archive"):
        lock(mirror, tmp_path, keyring=None)
    assert len(pysequoia.Cert.split_bytes(KEYS.read_bytes())) == 6


def test_a_package_list_that_is_not_the_signed_one_is_refused(
    mirror: FakeMirror, tmp_path: pathlib.Path
) -> None:
    mirror.write("dists/bookworm/main/binary-amd64/Packages.xz", b"other")
    with pytest.raises(EcomdeployError, match="not the signed one"):
        lock(mirror, tmp_path)


def test_an_expired_or_wrong_suite_is_refused(mirror: FakeMirror, tmp_path: pathlib.Path) -> None:
    mirror.publish(until="Mon, 01 Jan 2024 00:00:00 UTC")
    with pytest.raises(EcomdeployError, match="was valid until"):
        lock(mirror, tmp_path)
    mirror.publish(codename="buster")
    with pytest.raises(EcomdeployError, match="is of buster, not of bookworm"):
        lock(mirror, tmp_path)


def test_other_bytes_for_a_locked_package_are_refused(mirror: FakeMirror, tmp_path: pathlib.Path) -> None:
    debs = lock(mirror, tmp_path)
    mirror.write(debs[0].path, b"something else")
    with pytest.raises(EcomdeployError, match="has sha256"):
        fetch(mirror, tmp_path, debs, Silent())
    assert not path_of(debs[0], tmp_path / "downloads").exists()


def test_a_dropped_version_is_locked_again_loudly(mirror: FakeMirror, tmp_path: pathlib.Path) -> None:
    debs = lock(mirror, tmp_path)
    mirror.drop("libc6")
    mirror.packages["libc6"] = ("2.36-10", "", {"lib/libc.so.6": b"libc, mended"})
    mirror.publish()
    progress = Silent()
    again = fetch(mirror, tmp_path, debs, progress)
    versions = {found.name: found.version for found in again}
    assert versions["libc6"] == "2.36-10"
    assert versions["python3"] == "3.11.2-1"
    assert all(path_of(found, tmp_path / "downloads").exists() for found in again)
    told = "\n".join(progress.lines)
    assert "no longer has libc6 2.36-9" in told
    assert "re-locked libc6: 2.36-9 -> 2.36-10" in told


def test_dropped_and_the_index_is_not_signed_is_refused(mirror: FakeMirror, tmp_path: pathlib.Path) -> None:
    debs = lock(mirror, tmp_path)
    mirror.drop("libc6")
    mirror.packages["libc6"] = ("6.6.6", "", {"lib/libc.so.6": b"malicious"})
    mirror.publish(key=pysequoia.Tsk.generate("Mallory <mallory@example.org>"))
    with pytest.raises(EcomdeployError, match="not signed by"):
        fetch(mirror, tmp_path, debs, Silent())


def test_dropped_but_still_in_the_signed_index_is_said(mirror: FakeMirror, tmp_path: pathlib.Path) -> None:
    debs = lock(mirror, tmp_path)
    mirror.drop("libc6")
    with pytest.raises(EcomdeployError, match="the signed index lists libc6"):
        fetch(mirror, tmp_path, debs, Silent())


def test_unknown_packages_and_unmet_needs(mirror: FakeMirror, tmp_path: pathlib.Path) -> None:
    with pytest.raises(BadInput, match="no package pyhton3"):
        lock(mirror, tmp_path, ("pyhton3",))
    mirror.packages["python3"] = ("3.11.2-1", "libc6 (>= 3)", {})
    mirror.publish()
    with pytest.raises(EcomdeployError, match=r"libc6 >= 3"):
        lock(mirror, tmp_path)


def test_an_unreachable_mirror_is_said(tmp_path: pathlib.Path) -> None:
    with pytest.raises(EcomdeployError, match="cannot fetch http://127"):
        lock_debs(tmp_path, Silent(), mirror=Mirror("http://127.0.0.1:9", ""))


@pytest.mark.parametrize("data", [b"", b"!<arch>\n", b"!<arch>\nx" * 30, b"PK\x03\x04"])
def test_what_is_no_package_is_said(tmp_path: pathlib.Path, data: bytes) -> None:
    path = tmp_path / "x.deb"
    path.write_bytes(data)
    with pytest.raises(EcomdeployError):
        deb.read(path)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.compress,
}


@pytest.mark.parametrize("suffix", PACKERS)
def test_what_is_packed_is_unpacked_up_to_its_bound(suffix: str) -> None:
    data = PACKERS[suffix](bytes(100_000))
    assert decompress(data, suffix, 100_000) == bytes(100_000)
    with pytest.raises(ValueError, match="more than 99,999 bytes"):
        decompress(data, suffix, 99_999)


def endless(suffix: str) -> bytes:
    """600 MB of zeros, in one file of a few hundred KB."""
    return PACKERS[suffix](bytes(20_000_000)) * 30


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_a_package_that_unpacks_without_end_is_refused(tmp_path: pathlib.Path, suffix: str) -> None:
    (tmp_path / "x.deb").write_bytes(ar(PACKERS[suffix](control_tar()), endless(suffix), suffix))
    with pytest.raises(EcomdeployError, match=f"x.deb is damaged: it unpacks to more than {MOST:,} bytes"):
        deb.read(tmp_path / "x.deb")


def test_a_package_of_hard_links_without_end_is_refused(tmp_path: pathlib.Path) -> None:
    """Each is a copy in the image: 6 MB become 600."""
    path = tmp_path / "x.deb"
    many = tar_of([member("a", bytes(6_000_000)), *(hard_link(f"l{n}", "a") for n in range(100))])
    path.write_bytes(ar(control_tar(), many))
    with pytest.raises(EcomdeployError, match=f"its files have more than {MOST:,} bytes"):
        deb.read(path)


@pytest.mark.parametrize(
    "members",
    [
        [hard_link("h", "nothing")],
        [hard_link("h", "h")],
        [folder("a"), hard_link("h", "a")],
        [link("s", "h"), hard_link("h", "s")],
        [member("a", b"1"), link("./a", "h"), hard_link("h", "a")],
    ],
)
def test_a_hard_link_to_no_file_is_refused(tmp_path: pathlib.Path, members: list[Any]) -> None:
    (tmp_path / "x.deb").write_bytes(ar(control_tar(), tar_of(members)))
    with pytest.raises(EcomdeployError, match=r"x\.deb is damaged: 'h' is a hard link to"):
        deb.read(tmp_path / "x.deb")


def test_a_package_list_that_unpacks_without_end_is_refused(
    mirror: FakeMirror, tmp_path: pathlib.Path
) -> None:
    mirror.publish(packed=endless(".xz"))
    with pytest.raises(EcomdeployError, match=f"cannot be read: it unpacks to more than {MOST:,} bytes"):
        lock(mirror, tmp_path)


def test_a_mirror_that_sends_without_end_is_stopped(mirror: FakeMirror, tmp_path: pathlib.Path) -> None:
    """More than was asked for is not waited for, nor kept."""
    debs = lock(mirror, tmp_path)
    mirror.write(debs[0].path, bytes(debs[0].size + 1))
    with pytest.raises(EcomdeployError, match=f"has more than {debs[0].size:,} bytes"):
        fetch(mirror, tmp_path, debs, Silent())
    mirror.write("dists/bookworm/InRelease", bytes(MOST_SMALL + 1))
    with pytest.raises(EcomdeployError, match=f"answers with more than {MOST_SMALL:,} bytes"):
        lock(mirror, tmp_path)


def test_versions_sort_as_dpkg_sorts_them() -> None:
    # deb-version(7) and dpkg's own t-version.c
    ordered = ["1.0~~", "1.0~rc1", "1.0", "1.0-1", "1.0-1+b1", "1.0+git", "1.2", "1.10", "1:0.1", "2:0"]
    shuffled = [*ordered[5:], *ordered[:5]]
    assert sorted(shuffled, key=by_version) == ordered
    assert compare("1.0-0", "1.0") == 0
    assert compare("0:1.0", "1.0") == 0
    assert satisfies("2.36-9", ">=", "2.34")
    assert not satisfies("2.36-9", ">>", "2.36-9")
    assert satisfies("anything", "", "")


VERSIONS = st.from_regex(r"(\d:)?\d[0-9a-z.+~]{0,6}(-[0-9a-z+~]{1,3})?", fullmatch=True)


@given(VERSIONS, VERSIONS, VERSIONS)
def test_version_order_is_an_order(one: str, two: str, three: str) -> None:
    assert compare(one, one) == 0
    assert (compare(one, two) > 0) == (compare(two, one) < 0)
    if compare(one, two) <= 0 and compare(two, three) <= 0:
        assert compare(one, three) <= 0


def test_the_hosts_mirror(tmp_path: pathlib.Path) -> None:
    assert of_host("bookworm", tmp_path) == Mirror(DEBIAN, SECURITY)
    (tmp_path / "sources.list").write_text(
        "# deb http://old/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/x.gpg] http://mirror.example/debian bookworm main contrib\n"
        "deb-src http://src.example/debian bookworm main\n"
    )
    folder = tmp_path / "sources.list.d"
    folder.mkdir()
    (folder / "more.sources").write_text(
        "Types: deb\nURIs: http://other.example/nodist\nSuites: nodistro\nComponents: main\n\n"
        "Types: deb\n# a comment\nURIs: http://mirror.example/debian-security\n"
        "Suites: bookworm-security\nComponents: main\n"
    )
    assert of_host("bookworm", tmp_path) == Mirror(
        "http://mirror.example/debian", "http://mirror.example/debian-security"
    )
    assert of_host("trixie", tmp_path) == Mirror(DEBIAN, SECURITY)


@pytest.mark.network
@pytest.mark.slow
def test_the_real_archive_is_signed_by_the_keys_that_ship(tmp_path: pathlib.Path) -> None:
    import httpx

    mirror = of_host("bookworm")
    try:
        answer = httpx.get(f"{mirror.of('bookworm')}/dists/bookworm/InRelease", timeout=SECONDS)
        answer.raise_for_status()
    except httpx.HTTPError as problem:
        pytest.skip(f"no Debian mirror: {problem}")
    assert "Codename: bookworm" in signed_text(answer.content, None, "InRelease")
