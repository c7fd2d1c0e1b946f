"""Plug-ins: found in their package, by path and by entry point; unknown names answered with the nearest."""

from __future__ import annotations

import py_compile
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelpack.errors import BadInput
from modelpack.inputs.catalog import Catalog, CatalogNames, module_name
from modelpack.passes.base import Pass, in_order, passes
from modelpack.runtimes.base import runtimes
from modelpack.sources.base import sources
from modelpack.usecases.base import usecases

TEXT = """
from modelpack.passes.base import GRAPH, Pass
class Mine(Pass):
    name = "mine"; title = "mine"; stage = GRAPH; takes = gives = "onnx"; about = ""
    def apply(self, variant, context):
        return variant
other = 3
"""


def test_every_kind_is_found_by_scanning_its_package() -> None:
    assert "recommendation" in usecases().names()
    assert set(passes().names()) >= {"onnx", "int8", "embedding-int8"}
    assert set(runtimes().names()) >= {"onnxruntime", "eager"}
    assert set(sources().names()) >= {"onnx", "safetensors", "torch-export"}


def test_every_name_is_stated_by_a_source_of_its_package() -> None:
    """So that asking for one imports only its own module."""
    for catalog in (usecases(), passes(), runtimes(), sources()):
        known = CatalogNames(catalog.package, lambda: ())
        assert [name for name in catalog.names() if name not in known] == []
        assert "no-such-name" not in known
        assert all(type(catalog.get(name)) is type(newly(catalog).get(name)) for name in catalog.names())


def newly(catalog: Catalog[Any]) -> Catalog[Any]:
    """One that has scanned nothing."""
    return Catalog(catalog.kind, catalog.package, catalog.base)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(BadInput) as caught:
        passes().get("embeding-int8")
    assert "embeding-int8" in str(caught.value)
    assert "embedding-int8" in caught.value.hint


def test_a_far_name_is_answered_with_all() -> None:
    with pytest.raises(BadInput) as caught:
        usecases().get("zzzz")
    assert "recommendation" in caught.value.hint


def test_a_file_of_the_project_is_a_plug_in(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(TEXT)
    assert passes().get("./own.py:Mine", tmp_path).name == "mine"


def test_a_file_runs_as_it_stands_whatever_bytecode_lies_beside_it(tmp_path: Path) -> None:
    """A verdict names its source. Bytecode of the same second and length, or without a check, would run instead."""
    file = tmp_path / "own.py"
    file.write_text(TEXT.replace('"mine"; t', '"evil"; t'))
    py_compile.compile(str(file), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    file.write_text(TEXT)
    assert passes().get("./own.py:Mine", tmp_path).name == "mine"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("./none.py:Mine", "no such file"),
        ("./own.py", "names no class"),
        ("./own.py:Mien", "has no 'Mien'"),
        ("./own.py:other", "is not a pass"),
        ("./broken.py:Mine", "does not load"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "own.py").write_text(TEXT)
    (tmp_path / "broken.py").write_text("import nothing_like_this")
    with pytest.raises(BadInput, match=words):
        passes().get(name, tmp_path)


def test_two_files_of_one_name_do_not_meet(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own.py").write_text(f"# {folder}")
    assert module_name(tmp_path / "a" / "own.py") != module_name(tmp_path / "b" / "own.py")


def test_the_package_is_scanned_once_and_only_for_its_own_classes() -> None:
    catalog = Catalog[Pass]("pass", "modelpack.passes", Pass)
    assert catalog.names() == catalog.names()
    assert "Pass" not in catalog.names()


def test_passes_come_in_stages_and_the_export_is_never_missing(tmp_path: Path) -> None:
    assert [one.name for one in in_order(["embedding-int8", "onnx", "int8"], tmp_path)] == [
        "onnx",
        "embedding-int8",
        "int8",
    ]
    assert [one.name for one in in_order([], tmp_path)] == ["onnx"]
    assert [one.name for one in in_order(["int8", "int8"], tmp_path)] == ["onnx", "int8"]


def test_listing_names_loads_nothing_heavy(repository: Path) -> None:
    script = (
        "import sys\n"
        "from modelpack.passes.base import passes\nfrom modelpack.runtimes.base import runtimes\n"
        "from modelpack.sources.base import sources\nfrom modelpack.usecases.base import usecases\n"
        "[kind().names() for kind in (passes, runtimes, sources, usecases)]\n"
        "usecases().get('recommendation')\n"
        "print([name for name in ('torch', 'onnx', 'onnxruntime', 'pandas', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=repository, check=True
    )
    assert done.stdout.strip() == "[]"
