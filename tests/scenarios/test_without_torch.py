"""`pip install ecomdeploy` without extras: an own model goes live and back, and what trains says what it needs."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lean
import pytest
from own_shop import write_model, write_shop
from typed import Terminal

pytestmark = [pytest.mark.slow, pytest.mark.network]

ABSENT = (
    "torch",
    "triton",
    "nvidia",
    "functorch",
    "lightgbm",
    "onnxscript",
    "gguf",
    "transformers",
    "tensorflow",
)
TRAIN = "pip install 'ecomdeploy[train]'"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has none of the extras."""
    made = lean.make_environment(tmp_path_factory.mktemp("lean"))
    look = f"from importlib.util import find_spec; print([one for one in {ABSENT!r} if find_spec(one)])"
    done = subprocess.run([made, "-I", "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    return made


@pytest.fixture
def without(terminal: Terminal, python: Path) -> Iterator[Terminal]:
    """The terminal with that Python."""
    place = Terminal(terminal.folder, terminal.home, str(python))
    yield place
    place.end()


def test_a_model_of_ones_own_goes_live_and_back(without: Terminal, tmp_path: Path) -> None:
    write_model(without.folder / "model.onnx")
    without.type("init", "./shop.py:ShopRecs")
    write_shop(without.folder)
    packed = without.type("pack", "--json").json
    assert {one["name"] for one in packed["record"]["passes"]} == {"embedding-int8", "int8"}
    same_image_with_torch(without.folder, packed, tmp_path / "elsewhere")
    first = without.type("up", "--yes", "--json").json
    assert (first["state"], first["verified"]) == ("live", True)
    assert first["image"].endswith(packed["image"].rpartition("@")[2])
    answer = without.type("predict", "--json").json
    assert len(answer["predictions"][0]["scores"]) == 3
    write_shop(without.folder, ("size=(60, 12)", "size=(61, 12)"))
    second = without.type("up", "--yes", "--json").json
    assert (second["release"], second["verified"]) == (2, True)
    back = without.type("rollback", "--yes", "--json").json
    assert (back["restores"], back["image"], back["verified"]) == (1, first["image"], True)
    assert without.type("predict", "--json").json["predictions"] == answer["predictions"]
    without.type("doctor")
    without.type("down", "--yes", "--json")


def same_image_with_torch(folder: Path, packed: Any, elsewhere: Path) -> None:
    """Where torch is installed the verdict of pack.lock is taken as it is and nothing is measured: torch has no part
    in such a model."""
    shutil.copytree(folder, elsewhere / "shop")
    again = Terminal(elsewhere / "shop", elsewhere / "home").type("pack", "--json")
    assert again.json["image"].rpartition("@")[2] == packed["image"].rpartition("@")[2]
    assert "by the verdict of an earlier measurement" in again.err
    assert (elsewhere / "shop" / "pack.lock").read_bytes() == (folder / "pack.lock").read_bytes()


def test_what_trains_says_what_it_needs(without: Terminal) -> None:
    """At once, and by `plan` as by `up`: before data is fetched."""
    without.type("init", "fraud", "shop")
    shop = without.into("shop")
    for command in (("plan",), ("up", "--yes"), ("pack",)):
        typed = shop.type(*command, "--json", expect=2)
        error = typed.json["error"]
        assert error["what"] == "training fraud needs torch, which is not installed here"
        assert error["hint"] == TRAIN
        assert "Preparing" not in typed.err


@pytest.mark.parametrize("name", ["model.pt2", "model.safetensors"])
def test_a_model_that_torch_reads_says_what_it_needs(without: Terminal, name: str) -> None:
    without.type("init", "fraud", "shop")
    shop = without.into("shop")
    (shop.folder / "ecomdeploy.yaml").write_text(
        f"version: 1\nservice: shop\nusecase: fraud\nmodel: {{path: {name}}}\n"
    )
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    files = {
        "model.safetensors": len(header).to_bytes(8, "little") + header + bytes(4),
        "model.pt2": exported(),
    }
    (shop.folder / name).write_bytes(files[name])
    error = shop.type("pack", "--json", expect=2).json["error"]
    assert "torch, which is not installed here" in error["what"]
    assert error["hint"] == TRAIN


def exported() -> bytes:
    """A model as `torch.export.save` writes it."""
    import io

    import torch

    buffer = io.BytesIO()
    torch.export.save(torch.export.export(torch.nn.Linear(3, 1), (torch.ones(2, 3),)), buffer)
    return buffer.getvalue()
