"""Models trained by real TensorFlow come in by ONNX and answer alike: `make test-keras`, an environment of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_usecase import Tiny

from modelpack.errors import BadInput
from modelpack.formats.signature import Signature
from modelpack.runtimes.onnxruntime import OnnxRuntime
from modelpack.server.signature import Tensor
from modelpack.sources.base import open_model

PRODUCTS, LENGTH = 50, 5
keras = pytest.importorskip("keras", reason="needs the extra `tensorflow`: make test-keras runs it")
pytest.importorskip("tensorflow", reason="needs the extra `tensorflow`: make test-keras runs it")


class Next(Tiny):
    """The last five products -> a score for each product."""

    def signature(self) -> Signature:
        outputs = (Tensor("scores", "FP32", (-1, PRODUCTS)),)
        return Signature((Tensor("history", "INT64", (-1, LENGTH)),), outputs)


@pytest.fixture(scope="module")
def trained() -> Any:
    """Embedding -> Flatten -> Dense -> softmax, taught that the product after p is p + 1."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((LENGTH,), dtype="int32"),
            layers.Embedding(PRODUCTS, 16),
            layers.Flatten(),
            layers.Dense(PRODUCTS, activation="softmax"),
        ]
    )
    last = np.arange(2000) % PRODUCTS
    rows = (last[:, None] - np.arange(LENGTH)[::-1]) % PRODUCTS
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy")
    model.fit(rows, (last + 1) % PRODUCTS, epochs=12, verbose=0)
    return model, rows[:40]


@pytest.mark.parametrize("kind", ["model.keras", "model"])
def test_a_trained_recommender_answers_as_in_keras(trained: Any, tmp_path: Path, kind: str) -> None:
    model, rows = trained
    path = tmp_path / kind
    if path.suffix:
        model.save(path)
    else:
        model.export(path, verbose=False)
    variant = open_model(path, Next(), tmp_path / "variants" / "given")
    answer = OnnxRuntime().open(variant, Next())({"history": rows.astype(np.int64)})["scores"]
    assert np.allclose(answer, model.predict(rows, verbose=0), atol=1e-5)
    assert (answer.argmax(1) == (rows[:, -1] + 1) % PRODUCTS).mean() > 0.9


def test_another_signature_is_refused(trained: Any, tmp_path: Path) -> None:
    trained[0].save(tmp_path / "model.keras")
    with pytest.raises(BadInput, match="its inputs are"):
        open_model(tmp_path / "model.keras", Tiny(), tmp_path / "variants" / "given")


def test_weights_that_link_elsewhere_are_refused(trained: Any, tmp_path: Path) -> None:
    import zipfile

    h5py = pytest.importorskip("h5py")
    trained[0].save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    weights = tmp_path / "w.h5"
    weights.write_bytes(members["model.weights.h5"])
    with h5py.File(weights, "a") as file:
        file["layers/evil"] = h5py.ExternalLink("/etc/other.h5", "/x")
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, weights.read_bytes() if name.endswith(".h5") else data)
    with pytest.raises(BadInput, match="a link in its weights"):
        open_model(tmp_path / "model.keras", Next(), tmp_path / "variants" / "given")


def test_a_program_that_onnx_cannot_express_is_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    class Reads(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([None, LENGTH], tf.int32)])  # type: ignore[untyped-decorator]
        def serve(self, history: Any) -> Any:
            size = tf.strings.length(tf.io.decode_base64("aGk"))
            return tf.cast(history, tf.float32) + tf.cast(size, tf.float32)

    module = Reads()
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"serving_default": module.serve})
    with pytest.raises(BadInput, match="cannot express are refused"):
        open_model(tmp_path / "model", Next(), tmp_path / "variants" / "given")
