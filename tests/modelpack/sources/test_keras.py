"""Models trained by real TensorFlow come in by ONNX and answer alike: `make test-keras`, an environment of its own.

TensorFlow is never in this process: `tensorflow_models` makes the models in one of its own.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_models
from given import Given, answered
from tensorflow_models import LENGTH, PRODUCTS, make
from tiny_usecase import Tiny

from modelpack.errors import BadInput
from modelpack.formats.signature import Signature
from modelpack.gate.fidelity import Asked, ask_library
from modelpack.runtimes.onnxruntime import OnnxRuntime
from modelpack.server.signature import Tensor
from modelpack.sources.base import Converted, check, open_model
from modelpack.sources.keras import foreign

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("keras", "tensorflow")),
    reason="needs the extra `tensorflow`: make test-keras runs it",
)


class Next(Tiny):
    """The last five products -> a score for each product."""

    def signature(self) -> Signature:
        outputs = (Tensor("scores", "FP32", (-1, PRODUCTS)),)
        return Signature((Tensor("history", "INT64", (-1, LENGTH)),), outputs)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.keras, saved and answers.npz: the product after p is p + 1."""
    return make("recommender", tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def between(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make("between_layers", tmp_path_factory.mktemp("between"))


@pytest.mark.parametrize("kind", ["model.keras", "saved"])
def test_a_trained_recommender_answers_as_in_keras(trained: Path, tmp_path: Path, kind: str) -> None:
    variant = open_model(trained / kind, Next(), tmp_path / "variants" / "given")
    with np.load(trained / "answers.npz") as held:
        rows, wanted = held["rows"], held["answers"]
    answer = OnnxRuntime().open(variant, Next())({"history": rows.astype(np.int64)})["scores"]
    assert np.allclose(answer, wanted, atol=1e-5)
    assert (answer.argmax(1) == (rows[:, -1] + 1) % PRODUCTS).mean() > 0.9


@pytest.mark.parametrize("kind", ["model.keras", "saved"])
def test_what_stands_between_layers_answers_as_in_keras(between: Path, tmp_path: Path, kind: str) -> None:
    """The mean and variance that Normalization learned, `a + b`, the mask of an Embedding."""
    variant = open_model(between / kind, Given(), tmp_path / "variants" / "given")
    with np.load(between / "answers.npz") as held:
        assert np.allclose(answered(variant, held["rows"]), held["answers"], atol=1e-5)


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        ("keras.src.ops.numpy", "Repeat"),
        ("keras.src.ops.numpy", "Vectorize"),
        ("keras.src.ops.core", "Map"),
        ("keras.src.utils.python_utils", "Add"),
        ("os", "Add"),
    ],
)
def test_another_operation_is_refused_by_name(module: str, kind: str) -> None:
    words = foreign({"module": module, "class_name": kind, "registered_name": kind, "config": {}})
    assert words is not None
    assert f"{module}.{kind}" in words


@pytest.mark.parametrize(("kind", "by"), [("model.keras", "keras 3"), ("saved", "tensorflow 2")])
def test_the_library_that_wrote_it_is_asked(trained: Path, tmp_path: Path, kind: str, by: str) -> None:
    """And a reader that loses something for one request is found out."""
    source = check(trained / kind)
    assert isinstance(source, Converted)
    variant = open_model(trained / kind, Next(), tmp_path / "variants" / "given")
    with np.load(trained / "answers.npz") as held:
        rows = held["rows"].astype(np.int64)
    answers = dict(OnnxRuntime().open(variant, Next())({"history": rows}))
    asked = Asked({"history": rows}, tuple(range(1, len(rows) + 1)), answers)
    found = ask_library(source, Next(), asked, trained / kind, tmp_path)
    assert found.by.startswith(by), found.because
    assert (found.requests, found.largest["scores"] < 1e-5) == (len(rows), True)
    answers["scores"] = answers["scores"] + 0.01 * (np.arange(len(rows)) == 7)[:, None]
    with pytest.raises(BadInput, match=r"request 8: scores is .* by (keras|tensorflow)"):
        ask_library(source, Next(), asked, trained / kind, tmp_path)


ORDERS = {
    "torch and triton before": "import torch, triton; {open}",
    "torch and triton after": "{open}; import torch, triton",
    "torch.export, which loads triton late, after": "import torch; {open}; import torch._inductor.codecache, triton",
}
OPEN = "import test_keras; test_keras.open_here(sys.argv[1], sys.argv[2])"


def open_here(given: str, folder: str) -> None:
    """Read a Keras model in the process that asks."""
    open_model(Path(given), Next(), Path(folder) / "given")
    assert "tensorflow" not in sys.modules


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="this build of torch brings no triton")
@pytest.mark.parametrize("order", ORDERS)
def test_tensorflow_and_triton_never_meet(trained: Path, tmp_path: Path, order: str) -> None:
    """TensorFlow loaded before triton ends the process at triton's import."""
    paths = [Path(__file__).parent, Path(tensorflow_models.__file__).parent]
    program = f"import sys; sys.path[:0] = {list(map(str, paths))!r}; {ORDERS[order].format(open=OPEN)}"
    done = subprocess.run(
        [sys.executable, "-c", program, str(trained / "model.keras"), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_another_signature_is_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="its inputs are"):
        open_model(trained / "model.keras", Tiny(), tmp_path / "variants" / "given")


LINKS: dict[str, Any] = {
    "to another file": lambda h5py, file: file.__setitem__(
        "layers/evil", h5py.ExternalLink("/etc/other.h5", "/x")
    ),
    "to another place": lambda h5py, file: file.__setitem__("layers/evil", h5py.SoftLink("/layers")),
    "data in another file": lambda h5py, file: file.create_dataset(
        "layers/evil", (8,), "u1", external=[("/etc/passwd", 0, 8)]
    ),
    "a view of another file": lambda h5py, file: file.create_virtual_dataset("layers/evil", view(h5py)),
}


def view(h5py: Any) -> Any:
    layout = h5py.VirtualLayout((8,), "u1")
    layout[:] = h5py.VirtualSource("/etc/other.h5", "x", (8,))
    return layout


@pytest.mark.parametrize("kind", LINKS)
def test_weights_that_lie_elsewhere_are_refused(trained: Path, tmp_path: Path, kind: str) -> None:
    h5py = pytest.importorskip("h5py")
    with zipfile.ZipFile(trained / "model.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    weights = tmp_path / "w.h5"
    weights.write_bytes(members["model.weights.h5"])
    with h5py.File(weights, "a") as file:
        LINKS[kind](h5py, file)
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, weights.read_bytes() if name.endswith(".h5") else data)
    with pytest.raises(BadInput, match=r"link in its weights|kept in another file"):
        open_model(tmp_path / "model.keras", Next(), tmp_path / "variants" / "given")


@pytest.mark.parametrize("what", ["benign", "first_version_benign"])
def test_a_program_that_saves_its_weights_is_taken(tmp_path: Path, what: str) -> None:
    """Every SavedModel with a variable holds a function that writes checkpoints."""
    variant = open_model(make(what, tmp_path / "given") / "saved", Given(), tmp_path / "variants" / "given")
    assert np.allclose(answered(variant, np.ones((3, 4))), 4)


REFUSED = {
    "writes_when_asked": "outside the saver",
    "writes_when_restored": "outside the saver|run when it is loaded|function that writes",
    "writes_at_first": "outside the saver",
    "writes_while_restoring": "outside the saver",
    "inexpressible": "cannot express are refused",
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_program_with_effects_is_refused(tmp_path: Path, what: str) -> None:
    folder = make(what, tmp_path / "given", tmp_path / "canary")
    with pytest.raises(BadInput, match=REFUSED[what]):
        open_model(folder / "saved", Given(), tmp_path / "variants" / "given")
    assert not list(tmp_path.glob("canary*"))
