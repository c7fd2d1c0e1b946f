"""The house rules that a machine can check: whose packages these are, how big files get, how big the rehearsal is."""

from __future__ import annotations

import ast
import importlib
import json
import pathlib
import pkgutil
import re
import subprocess
import sys

import pytest

ROOMS = ("cli", "stacks", "infra", "modelpack")
ROOT = pathlib.Path(__file__).resolve().parents[2]


def sources() -> list[pathlib.Path]:
    return [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


@pytest.mark.parametrize("room", ROOMS)
def test_the_packages_come_from_this_repository(room: str) -> None:
    """Plain top-level names can be shadowed by another distribution: an own environment is required."""
    module = importlib.import_module(room)
    assert module.__file__ is not None
    assert pathlib.Path(module.__file__).resolve().parent == ROOT / room


def test_the_programs_are_never_importable() -> None:
    """A folder named `platform` on sys.path would hide the standard library's."""
    assert not [entry for entry in sys.path if pathlib.Path(entry or ".").resolve().name == "programs"]


def test_files_are_read_in_one_sitting() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in sources()
        if (lines := path.read_text().count("\n")) > 350
    }
    assert not long


def test_functions_fit_a_screen() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": size
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (size := (node.end_lineno or node.lineno) - node.lineno + 1) > 60
    }
    assert not long


def test_the_rehearsal_does_not_outgrow_the_product() -> None:
    def lines(paths: list[pathlib.Path]) -> int:
        return sum(path.read_text().count("\n") for path in paths)

    rehearsal = [path for path in sources() if "infra/rehearsal/" in path.as_posix()]
    assert lines(rehearsal) <= 0.4 * lines(sources())


def test_no_room_of_mud() -> None:
    names = [
        path for path in sources() if re.search(r"(^|_)(utils?|helpers?|manager|misc)(_|\.py$)", path.name)
    ]
    assert not names


def test_tests_use_fakes_not_patches() -> None:
    pattern = re.compile(r"mock" + r"\.patch|Magic" + r"Mock")
    assert not [str(path) for path in (ROOT / "tests").rglob("*.py") if pattern.search(path.read_text())]


def imported_by(modules: str) -> set[str]:
    """What a fresh interpreter has loaded after an import."""
    code = f"import sys, json, {modules}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_a_command_begins_without_what_reads_models() -> None:
    """`--help` and `status` load neither numpy nor the readers of model files."""
    heavy = {
        "numpy",
        "msgspec",
        "modelpack.sources.base",
        "modelpack.usecases.base",
        "modelpack.server.transform",
    }
    assert not heavy & imported_by("cli.app")


def test_every_benchmark_can_be_loaded() -> None:
    found = [one.name for one in pkgutil.iter_modules([str(ROOT / "benchmarks")])]
    programs = [name for name in found if not name.startswith("_") and not name.endswith("_program")]
    assert set(programs) > {"commands", "optimize", "verdicts"}
    imported_by(", ".join(f"benchmarks.{name}" for name in programs))


def test_importing_a_room_has_no_heavy_effects() -> None:
    """The command line starts fast: no import of a top-level module may load what only some commands need."""
    heavy = {"torch", "onnx", "onnxruntime", "pandas", "moto", "pulumi", "boto3", "sagemaker"}
    assert not heavy & imported_by("cli.app, stacks.ship, stacks.spec, modelpack.build")
