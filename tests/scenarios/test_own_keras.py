"""A recommender trained by real TensorFlow goes live: `make test-keras`, in an environment of its own."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
from tensorflow_models import make
from typed import Terminal

pytestmark = [
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("keras", "tensorflow")),
        reason="needs the extra `tensorflow`: make test-keras runs it",
    ),
]

LONGEST = 40
SHOP = '''
import numpy as np

from ecomdeploy import OwnModel


class NextProduct(OwnModel):
    """What a visitor looks at next, from the last five products"""

    metric_name = "hit@5"

    def requests(self, data):
        held_out = np.load(data)
        return {"history": held_out["history"]}, held_out["following"]

    def metric(self, answers, truths):
        scores = next(iter(answers.values()))
        best = np.argsort(-scores, axis=1, kind="stable")[:, :5]
        return (best == truths[:, None]).any(axis=1)
'''
SPEC = """\
version: 1
service: next-product
usecase: ./shop.py:NextProduct
model: {path: model.keras}
data: {path: held-out.npz}
pack:
  gate: {metric_drop: 0.01}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model in both forms, held-out visits, and what TensorFlow answers them."""
    return make("next_product", tmp_path_factory.mktemp("trained"))


@pytest.fixture
def shop(terminal: Terminal, trained: Path) -> Terminal:
    """An empty folder with what the user has: his file, his model in both forms, his held-out visits."""
    folder = terminal.folder
    assert len(SHOP.splitlines()) <= LONGEST
    (folder / "shop.py").write_text(SHOP)
    (folder / "ecomdeploy.yaml").write_text(SPEC)
    shutil.copytree(trained, folder, dirs_exist_ok=True)
    return terminal


def test_a_keras_model_goes_live_and_its_saved_model_after_it(shop: Terminal, trained: Path) -> None:
    done = shop.type("up", "--yes", "--json").json
    assert (done["state"], done["verified"]) == ("live", True)
    record = done["record"]
    assert record["metric"]["value"] > 0.8
    assert record["provenance"]["model_from"] == "model.keras"
    passes = {one["name"]: one for one in record["passes"]}
    assert set(passes) == {"embedding-int8", "int8"}
    assert all(one["metric"] is not None for one in passes.values()), "both fit such a model and are measured"
    agrees_with_keras(shop, trained)
    shop.edit("path: model.keras", "path: saved")
    again = shop.type("up", "--yes", "--json").json
    assert (again["release"], again["verified"]) == (2, True)
    assert again["record"]["metric"]["value"] == pytest.approx(record["metric"]["value"], abs=0.01)
    agrees_with_keras(shop, trained)
    back = shop.type("rollback", "--yes", "--json").json
    assert (back["restores"], back["image"]) == (1, done["image"])


def agrees_with_keras(shop: Terminal, trained: Path) -> None:
    """The endpoint's best products are those of the model in Keras."""
    asked = shop.type("predict", "--json").json
    (instance,), (answer,) = asked["request"]["instances"], asked["predictions"]
    (scores,) = answer.values()
    with np.load(trained / "answers.npz") as held:
        at = (held["rows"] == np.array(instance["history"])).all(axis=1).argmax()
        own = held["answers"][at]
    assert int(np.argmax(scores)) == int(np.argmax(own))


SLIPS = {
    "no such file": ("ecomdeploy.yaml", "model.keras", "gone.keras", "no such model file"),
    "another shape": ("shop.py", r'held_out\["history"\]\}', 'held_out["history"][:, :3]}', "the shape [3]"),
    "a mean": ("shop.py", r"any\(axis=1\)", "any(axis=1).mean()", "metric() answered one number"),
    "another name": ("shop.py", '"history": held', '"visits": held', "the model has no input 'visits'"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_slips_are_told(shop: Terminal, slip: str) -> None:
    file, old, new, words = SLIPS[slip]
    shop.edit(old, new, file)
    assert words in shop.type("pack", "--json", expect=2).json["error"]["what"]


def test_not_a_keras_file(shop: Terminal) -> None:
    Path(shop.folder / "model.keras").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    assert ".keras but a HDF5 file" in shop.type("pack", "--json", expect=2).json["error"]["what"]
