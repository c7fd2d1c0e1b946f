"""Shared libraries that an image lacks are found by reading it."""

from __future__ import annotations

import importlib
import io
import pathlib
import sys

import pytest
from elf_files import elf_file
from hypothesis import given
from hypothesis import strategies as st

from modelpack.errors import EcomdeployError
from modelpack.image.binaries import elf
from modelpack.image.binaries.elf import LayerFacts, LoaderNeeds, missing_libraries, resolve


def read(tmp_path: pathlib.Path, data: bytes) -> LoaderNeeds | None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with path.open("rb") as file:
        return elf.needs(file)


def test_needed_and_runpath(tmp_path: pathlib.Path) -> None:
    found = read(tmp_path, elf_file(["libc.so.6", "libm.so.6"], "$ORIGIN/../libs:/opt/x"))
    assert found == LoaderNeeds(("libc.so.6", "libm.so.6"), ("$ORIGIN/../libs", "/opt/x"))


def test_this_machines_own_files() -> None:
    extension = importlib.import_module("numpy._core._multiarray_umath")
    with open(str(extension.__file__), "rb") as file:
        found = elf.needs(file)
    assert found is not None
    assert "libc.so.6" in found.libraries
    with open(sys.executable, "rb") as file:
        assert elf.needs(file)


@pytest.mark.parametrize("cut", [0, 10, 63, 64, 100, 180])
def test_cut_files_are_no_programs(tmp_path: pathlib.Path, cut: int) -> None:
    assert read(tmp_path, elf_file(["libc.so.6"])[:cut]) is None
    assert read(tmp_path, b"#!/bin/sh\n" * 20) is None


@given(st.data())
def test_a_damaged_file_is_answered_or_is_no_program_but_ends_nothing(data: st.DataObject) -> None:
    whole = bytearray(elf_file(["libc.so.6", "libm.so.6"], "$ORIGIN/x"))
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.sampled_from([0, 1, 64, 255]))
    found = elf.needs(io.BytesIO(bytes(whole[: data.draw(st.integers(0, len(whole)))])))
    assert found is None or all(isinstance(one, str) for one in (*found.libraries, *found.search))


def layers(needs: LoaderNeeds, *files: str, links: dict[str, str] | None = None) -> list[LayerFacts]:
    asker = "opt/deps/pkg/module.so"
    return [
        LayerFacts(dict.fromkeys(files, "00"), links or {}),
        LayerFacts({asker: "00"}, {}, {asker: needs}),
    ]


def test_found_in_library_folders_through_links_and_by_origin() -> None:
    plain = LoaderNeeds(("libz.so.1",), ())
    merged = {"lib": "usr/lib", "usr/lib/x86_64-linux-gnu/libz.so.1": "libz.so.1.2"}
    assert missing_libraries(layers(plain, "usr/lib/x86_64-linux-gnu/libz.so.1.2", links=merged)) == ()
    own = LoaderNeeds(("libown.so",), ("$ORIGIN/../pkg.libs",))
    assert missing_libraries(layers(own, "opt/deps/pkg.libs/libown.so")) == ()
    absolute = LoaderNeeds(("libown.so",), ("/opt/own",))
    assert missing_libraries(layers(absolute, "opt/own/libown.so")) == ()


def test_missing_is_named_with_its_asker_unless_allowed() -> None:
    needs = LoaderNeeds(("libcuda.so.1", "libgone.so"), ())
    found = missing_libraries(layers(needs, "usr/lib/elsewhere/libgone.so"), {"libcuda.so.1"})
    assert found == ("libgone.so (needed by opt/deps/pkg/module.so)",)
    dangling = {"usr/lib/libgone.so": "libgone.so.1"}
    assert missing_libraries(layers(LoaderNeeds(("libgone.so",), ()), links=dangling)) != ()


def test_a_whiteout_takes_the_library_away() -> None:
    stack = layers(LoaderNeeds(("libz.so.1",), ()), "usr/lib/libz.so.1")
    assert missing_libraries(stack) == ()
    assert missing_libraries([*stack, LayerFacts({}, hidden=("usr/lib",))]) != ()


def test_links_resolve_as_in_a_root() -> None:
    links = {"lib": "/usr/lib", "usr/lib/a": "../b", "x": "y", "y": "x", "up": "../../../etc"}
    assert resolve("lib/a/c", links) == "usr/b/c"
    assert resolve("up/hosts", links) == "etc/hosts"
    assert resolve("x/z", links) == ""


def test_assemble_refuses_an_image_that_lacks_a_library(tmp_path: pathlib.Path) -> None:
    import tiny_parts

    from modelpack.image.assemble import assemble
    from modelpack.image.oci.layout import Layout
    from modelpack.progress import Silent

    module = elf_file(["libstdc++.so.6", "libtiny.so.1"])
    parts = tiny_parts.parts(tmp_path)
    wheel = tiny_parts.wheel(parts.downloads, {"fast/_module.so": module}, "fast")
    asking = tiny_parts.parts(tmp_path, wheels=(wheel,))
    with pytest.raises(EcomdeployError, match=r"libstdc\+\+\.so\.6 \(needed by opt/.*/fast/_module\.so\)"):
        assemble(asking, Layout(tmp_path / "layout"), Silent())
    allowed = tiny_parts.parts(tmp_path, wheels=(wheel,), libraries_from_host=frozenset({"libstdc++.so.6"}))
    assert assemble(allowed, Layout(tmp_path / "layout"), Silent()).digest
