"""What an installation may lack: told with what to type, and asked for where it is needed only."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from own_shop import write_model, write_shop
from packaging.requirements import Requirement

from modelpack.errors import BadInput
from modelpack.formats.variant import TORCH
from modelpack.inputs.extras import EXTRAS, need, tell_missing, to_install
from modelpack.inputs.resolve import Inputs, PackRequest, resolve
from modelpack.inputs.rests_on import rests_on
from modelpack.inputs.spec import ModelSpec, PackSpec
from modelpack.passes.base import passes

NOT_FOR_MODELS = {"dev", "kubernetes", "originals", "sagemaker"}
TRAINS = frozenset(EXTRAS["train"])


def project(repository: Path) -> Any:
    return tomllib.loads((repository / "pyproject.toml").read_text())["project"]


def names(requirements: list[str]) -> set[str]:
    """As they are imported: some distributions have a longer name."""
    named = (Requirement(line).name.removesuffix("-cpu").removesuffix("-framework") for line in requirements)
    return {one.replace("-", "_") for one in named}


def test_the_table_is_that_of_pyproject(repository: Path) -> None:
    extras = project(repository)["optional-dependencies"]
    brought = {extra: names(lines) for extra, lines in extras.items() if extra not in NOT_FOR_MODELS}
    assert set(brought) == set(EXTRAS)
    for extra, libraries in EXTRAS.items():
        own = brought[extra] - (TRAINS if extra != "train" else set())
        assert own == set(libraries), extra


def test_what_two_extras_bring_is_asked_for_alike(repository: Path) -> None:
    lines = [line for extra in project(repository)["optional-dependencies"].values() for line in extra]
    assert len({Requirement(line).name for line in lines}) == len(set(lines))


def test_nothing_of_an_extra_is_needed_without_it(repository: Path) -> None:
    every = {name for libraries in EXTRAS.values() for name in libraries}
    assert not names(project(repository)["dependencies"]) & every


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_library_that_is_missing_is_told_with_its_extra(extra: str) -> None:
    for library in EXTRAS[extra]:
        with pytest.raises(BadInput) as caught, tell_missing():
            raise ModuleNotFoundError(f"No module named '{library}.part'", name=f"{library}.part")
        assert library in caught.value.what
        assert caught.value.hint == f"pip install 'ecomdeploy[{extra}]'"


def test_another_module_that_is_missing_is_no_matter_of_extras() -> None:
    with pytest.raises(ModuleNotFoundError), tell_missing():
        raise ModuleNotFoundError("No module named 'nunpy'", name="nunpy")
    assert to_install("nunpy", "torch", "gguf") == "pip install nunpy 'ecomdeploy[train]'"


def test_what_is_there_is_not_told() -> None:
    need("numpy", "an image")
    with pytest.raises(BadInput, match="an image needs no_such_library, which is not installed here"):
        need("no_such_library", "an image")


@pytest.mark.parametrize("name", passes().names())
def test_a_pass_on_graphs_says_when_it_needs_torch(name: str) -> None:
    """Else it would be tried without it and dropped, and another machine would make another pack."""
    one = passes().get(name)
    if one.takes != TORCH:
        assert ("torch" in rests_on(plug_ins=[one]).libraries) <= ("torch" in one.tools)


def given(folder: Path, *asked: str) -> Inputs:
    write_shop(folder)
    write_model(folder / "model.onnx")
    model, pack = ModelSpec(path="model.onnx"), PackSpec(passes=asked or None)
    return resolve(PackRequest("./shop.py:ShopRecs", model, pack, "ml.c7i.xlarge", folder))


def test_a_graph_of_ones_own_rests_on_nothing_that_trains(tmp_path: Path) -> None:
    """So that pack.lock holds on a machine with torch and on one without."""
    inputs = given(tmp_path)
    assert not TRAINS & {*inputs.measuring_code.versions, *inputs.libraries}
    assert "torch" in given(tmp_path, "smooth-int8").libraries


def test_make_takes_torch_alone_from_an_index_of_cpu_builds(repository: Path) -> None:
    index = "https://index.example/cpu"
    (torch,) = (line for line in project(repository)["optional-dependencies"]["train"] if "torch" in line)

    def commands(*words: str) -> list[str]:
        command = ["make", "--dry-run", "install", "VENV=not-there", *words]
        done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
        return [line for line in done.stdout.splitlines() if "pip install" in line]

    first, *others = commands(f"TORCH_INDEX={index}")
    assert first.endswith(f"--no-deps --index-url {index} {torch}")
    locked, *same = commands()
    assert locked.endswith("--no-deps --require-hashes -r locks/torch.txt")
    assert others == same
    assert not any("--index-url" in line for line in others)
