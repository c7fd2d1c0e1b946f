"""What a verdict rests on: all that runs while one is measured, and no more than that use case with these passes."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import own_tables
import pytest
import what_runs

import modelpack
from modelpack.digests import installed_version
from modelpack.inputs.resolve import Inputs, PackRequest, resolve
from modelpack.inputs.rests_on import NAMED, imported_names, read_imports, rests_on
from modelpack.inputs.spec import ModelSpec, PackSpec
from modelpack.usecases.base import usecases

OWN = Path(modelpack.__file__).parent
SHIPPED = usecases().names()

MEASURING = """
import sys
from pathlib import Path
import sitecustomize
from modelpack.gate.measure import measure
from modelpack.gate.memory import answer_once, write_task
from modelpack.gate.reference import prepare
from modelpack.home import Home
from modelpack.inputs.resolve import PackRequest, resolve
from modelpack.inputs.spec import DataSpec, GateSpec, ModelSpec, PackSpec
from modelpack.progress import Silent

here = Path(sys.argv[1])
pack = PackSpec(passes=tuple(sys.argv[3:]), gate=GateSpec(must_beat=False))
data = DataSpec(path="data") if (here / "data").is_dir() else None
inputs = resolve(PackRequest(sys.argv[2], ModelSpec(), pack, "ml.c7i.xlarge", here, data))
inputs.verdict_digest
before = set(sys.modules)
sitecustomize.ran.clear()
for name in ("models", "variants"):
    (here / name).mkdir()
reference = prepare(inputs, Home(here, here), here / "variants", Silent())
variant, verdict = measure(inputs, reference, Silent())
batch = inputs.usecase.examples(reference.trials.data, 4)
assert answer_once(write_task(variant, inputs.usecase, batch, here)) > 0
late = {sys.modules[name].__file__ for name in set(sys.modules) - before if name.startswith("modelpack")}
(here / "late").write_text("\\n".join(sorted(filter(None, late))))
assert verdict["passes"], verdict
"""


def request(usecase: str, passes: tuple[str, ...] | None = None, project: Path = Path()) -> PackRequest:
    return PackRequest(usecase, ModelSpec(), PackSpec(passes=passes), "ml.c7i.xlarge", project)


def inputs_of(usecase: str, passes: tuple[str, ...] | None = None, project: Path = Path()) -> Inputs:
    return resolve(request(usecase, passes, project))


def named(files: frozenset[Path]) -> set[str]:
    """By their paths below modelpack."""
    return {file.relative_to(OWN).as_posix() for file in files if OWN in file.parents}


def folders_of_use_cases(files: frozenset[Path]) -> set[str]:
    """The use cases whose own files are among them."""
    below = {Path(name).parts[1] for name in named(files) if name.startswith("usecases/")}
    own = {Path(sys.modules[type(usecases().get(name)).__module__].__file__ or "") for name in SHIPPED}
    return below & {file.relative_to(OWN / "usecases").parts[0] for file in own}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("usecase", "passes"),
    [("fraud", ("onnx", "int8")), ("./own.py:Tiny", ("onnx", "embedding-int8", "int8"))],
)
def test_all_that_runs_while_a_verdict_is_measured_is_in_its_set(
    usecase: str, passes: tuple[str, ...], tmp_path: Path, repository: Path
) -> None:
    """A real measurement, watched: every file of ours of which a function runs, what its fresh process for memory does
    too, and every module that is loaded meanwhile. `Inputs` alone is outside: it is in the digest as plain data."""
    if usecase == "fraud":
        own_tables.written(own_tables.fraud(3000), tmp_path / "data")
    else:
        shutil.copy(repository / "tests" / "support" / "tiny_usecase.py", tmp_path / "own.py")
    what_runs.hook(tmp_path, tmp_path / "found")
    paths = os.pathsep.join([str(tmp_path), str(repository)])
    command = [sys.executable, "-c", MEASURING, str(tmp_path), usecase, *passes]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}
    )
    assert done.returncode == 0, done.stderr[-3000:]

    ours = inputs_of(usecase, passes, tmp_path).measuring_code.files
    ran = set().union(*what_runs.files_run(tmp_path / "found", OWN)) - {OWN / "inputs" / "resolve.py"}
    assert named(frozenset(ran - ours)) == set()
    late = {Path(line) for line in (tmp_path / "late").read_text().splitlines()}
    assert named(frozenset(late - ours)) == set()
    assert {"gate/rules.py", "gate/memory.py", "passes/int8.py", "runtimes/torch_thread.py"} <= named(
        frozenset(ran)
    )


@pytest.mark.parametrize("name", SHIPPED)
def test_a_use_case_rests_on_no_other(name: str) -> None:
    inputs = inputs_of(name)
    own = {
        Path(sys.modules[type(inputs.usecase).__module__].__file__ or "")
        .relative_to(OWN / "usecases")
        .parts[0]
    }
    assert folders_of_use_cases(inputs.measuring_code.files) == own
    assert folders_of_use_cases(inputs.training_code.files) == own


def test_the_wordings_of_chat_are_chats_alone() -> None:
    chat, fraud = (
        named(inputs_of(name, ("onnx", "int8")).measuring_code.files) for name in ("chat", "fraud")
    )
    assert {
        "usecases/chat/wordings.py",
        "server/handlers/chat/conversation.py",
        "language/llama.py",
    } <= chat - fraud
    assert {"usecases/fraud.py", "usecases/tabular/trees.py"} <= fraud - chat
    assert {"gate/trial.py", "gate/rules.py", "passes/int8.py", "runtimes/onnxruntime.py"} <= chat & fraud


def test_only_the_passes_that_are_asked_for_count() -> None:
    def passes_of(*names: str) -> set[str]:
        files = named(inputs_of("fraud", names).measuring_code.files)
        return {
            name for name in files if name.startswith(("passes/", "runtimes/", "server/engines/openvino"))
        }

    plain, usual = passes_of("onnx"), passes_of("onnx", "int8")
    assert {name for name in usual - plain if "/shared/" not in name} == {"passes/int8.py"}
    assert passes_of("openvino") - usual == {
        "passes/openvino.py",
        "runtimes/openvino.py",
        "server/engines/openvino.py",
    }


@pytest.mark.parametrize("name", SHIPPED)
def test_training_rests_on_no_gate_pass_or_image(name: str) -> None:
    rooms = {Path(file).parts[0] for file in named(inputs_of(name).training_code.files)}
    assert rooms.isdisjoint({"gate", "passes", "image", "assembly", "sources"})


def test_a_source_counts_where_it_opens_the_model(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"PK\x03\x04 and more")
    (tmp_path / "model.onnx").write_bytes(b"a graph")
    plain = request("fraud", ("onnx",), tmp_path)
    code = {
        name: resolve(replace(plain, model=ModelSpec(path=f"model.{name}"))).measuring_code
        for name in ("onnx", "keras")
    }
    assert "sources/keras.py" in named(code["keras"].files) - named(code["onnx"].files)
    assert {"keras", "tensorflow", "tf2onnx"} <= code["keras"].versions.keys() - code["onnx"].versions.keys()


def test_libraries_are_named_by_version() -> None:
    inputs = inputs_of("fraud", ("onnx", "int8"))
    assert {"numpy", "onnx", "onnxruntime", "onnxscript", "torch", "lightgbm"} <= set(inputs.libraries)
    assert {"numpy", "pandas", "pyarrow", "torch", "lightgbm"} <= set(inputs.training_code.versions)
    assert "onnxruntime" not in inputs.training_code.versions
    assert "openvino" not in inputs.libraries
    assert inputs.libraries["numpy"]
    assert inputs.libraries["google.protobuf"] == importlib.metadata.version("protobuf")


@pytest.mark.parametrize("name", SHIPPED)
def test_no_library_of_ours_is_looked_for_among_all_distributions(name: str) -> None:
    """Every `up` and `plan` asks for their versions, and looking through all takes as long as the rest of it."""
    named = {library for library, version in inputs_of(name).measuring_code.versions.items() if version}
    assert {library for library in named if installed_version(NAMED.get(library, library)) is None} == set()


def test_nothing_but_sources_decides_a_verdict() -> None:
    """A file that is read and not imported would be in no set."""
    others = [
        file.relative_to(OWN).parts[0]
        for file in OWN.rglob("*")
        if file.is_file() and file.suffix not in (".py", ".pyc") and file.name != "py.typed"
    ]
    assert set(others) <= {"assembly", "image"}


SOURCE = b"""
import typing
from typing import TYPE_CHECKING

from shop.words import WORDS
from . import beside
from .near import far

if TYPE_CHECKING:
    from modelpack.gate import trial
elif typing.TYPE_CHECKING:
    import modelpack.build
else:
    import modelpack.home

if not TYPE_CHECKING:
    import modelpack.pack

try:
    import colours
except ImportError:
    import colors


def later():
    with open("x"):
        match 1:
            case 1:
                from modelpack.server import golden
    return later
"""


def test_imports_are_found_wherever_they_stand_but_for_type_checkers() -> None:
    assert imported_names(SOURCE) == {
        "typing",
        "typing.TYPE_CHECKING",
        "shop.words",
        "shop.words.WORDS",
        ".",
        ".beside",
        ".near",
        ".near.far",
        "modelpack.home",
        "modelpack.pack",
        "colours",
        "colors",
        "modelpack.server",
        "modelpack.server.golden",
    }


def test_a_plug_in_of_another_package_brings_the_files_it_imports(tmp_path: Path) -> None:
    package = tmp_path / "shopcode_for_a_test"
    package.mkdir()
    contents = {
        "__init__": "",
        "one": "from . import two\nfrom modelpack.passes.int8 import Int8\nclass One(Int8): name = 'one'\n",
        "two": "def go():\n    import json, usearch\n    from .three import X\n",
        "three": "NAME = 'shopcode_for_a_test.four'\n",
        "four": "X = 1\n",
        "five": "X = 1\n",
    }
    for name, text in contents.items():
        (package / f"{name}.py").write_text(text)
    sys.path.insert(0, str(tmp_path))
    try:
        one = importlib.import_module("shopcode_for_a_test.one").One()
    finally:
        sys.path.remove(str(tmp_path))
    code = rests_on(plug_ins=[one])
    assert {file.stem for file in code.files if package in file.parents} == {*contents} - {"five"}
    assert "passes/int8.py" in named(code.files)
    assert "usearch" in code.libraries
    assert "json" not in code.libraries


def test_plug_ins_of_one_file_name_are_told_apart(tmp_path: Path) -> None:
    digests = set()
    for number in range(2):
        for folder in ("a", "b"):
            (tmp_path / folder).mkdir(exist_ok=True)
            text = f"from modelpack.passes.int8 import Int8\nclass Mine(Int8):\n    name = '{folder}'\n"
            (tmp_path / folder / "mine.py").write_text(
                text + f"    number = {number if folder == 'a' else 0}\n"
            )
        digests.add(inputs_of("fraud", ("./a/mine.py:Mine", "./b/mine.py:Mine"), tmp_path).verdict_digest)
    assert len(digests) == 2


def test_imports_of_our_sources_are_read_as_python_parses_them() -> None:
    for file in OWN.rglob("*.py"):
        content = file.read_bytes()
        assert read_imports(content) == imported_names(content), file


@pytest.mark.parametrize(
    "text",
    [
        "x = 1; import json",
        "if x: import json",
        "from a import b, \\\n    c",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a\n\n    import b\nimport c\n",
        "def go():\n    if typing.TYPE_CHECKING:\n        import a\n    else:\n        from . import b as d, e\n",
        '"""\nimport a\n"""\nfrom .c import (\n    d,  # noqa: F401\n    e as f,\n)\n',
    ],
)
def test_imports_are_read_as_python_parses_them_however_they_stand(text: str) -> None:
    assert read_imports(text.encode()) == imported_names(text.encode())
