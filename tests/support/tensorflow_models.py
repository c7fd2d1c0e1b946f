"""Models by real TensorFlow, made in a process of its own: `python tensorflow_models.py WHAT FOLDER [CANARY]`.

TensorFlow and triton (which torch brings and loads late) end a process that loads both in that order.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

PRODUCTS, LENGTH = 50, 5
VISITED, VISIT_LENGTH, WIDTH = 400, 5, 32


def make(what: str, folder: Path, canary: Path | None = None) -> Path:
    """Run this file for one of the functions below."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, __file__, what, str(folder), *([str(canary)] if canary else [])]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def recommender(folder: Path, canary: Path | None) -> None:
    """Embedding -> Flatten -> Dense -> softmax, taught that the product after p is p + 1; and what it answers."""
    import keras

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
    saved(model, folder, rows[:40])


def visits(rows: int, seed: int) -> tuple[Any, Any]:
    """Five products, each led to by the one before nine times in ten; and the one after them."""
    generator = np.random.default_rng(seed)
    places = [generator.integers(0, VISITED, rows)]
    for _ in range(VISIT_LENGTH):
        strange = generator.random(rows) < 0.1
        following = (places[-1] * 7 + 3) % VISITED
        places.append(np.where(strange, generator.integers(0, VISITED, rows), following))
    return np.stack(places[:VISIT_LENGTH], axis=1), places[VISIT_LENGTH]


def next_product(folder: Path, canary: Path | None) -> None:
    """The same shape for a shop of 400 products, and held-out visits."""
    import keras

    keras.utils.set_random_seed(1)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((VISIT_LENGTH,), dtype="int32", name="history"),
            layers.Embedding(VISITED, WIDTH),
            layers.Flatten(),
            layers.Dense(VISITED, activation="softmax"),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(0.005), loss="sparse_categorical_crossentropy")
    history, following = visits(40_000, 0)
    model.fit(history, following, epochs=5, batch_size=128, verbose=0)
    history, following = visits(3000, 1)
    np.savez(folder / "held-out.npz", history=history, following=following)
    saved(model, folder, history)


def between_layers(folder: Path, canary: Path | None) -> None:
    """x (rows, 4) -> p: numbers made normal, operators between layers, and an LSTM that skips masked steps."""
    import keras

    keras.utils.set_random_seed(1)
    layers, ops = keras.layers, keras.ops
    rows = np.random.default_rng(0).normal(3, 2, (300, 4)).astype(np.float32)
    normal = layers.Normalization()
    normal.adapt(rows)
    x = keras.Input((4,), name="x")
    hidden = layers.Dense(5, activation="relu")(normal(x))
    gated = hidden * ops.softmax(layers.Dense(5)(normal(x)), axis=1) + 0.5
    steps = ops.cast(ops.clip(ops.absolute(x), 0, 9), "int32")
    read = layers.LSTM(3)(layers.Embedding(10, 4, mask_zero=True)(steps))
    last = layers.Dense(1)(layers.Concatenate()([gated, read]))
    saved(keras.Model(x, ops.squeeze(last, axis=1)), folder, rows)


def saved(model: Any, folder: Path, rows: Any) -> None:
    """In both forms, with what it answers."""
    model.save(folder / "model.keras")
    model.export(folder / "saved", verbose=False)
    np.savez(folder / "answers.npz", rows=rows, answers=model.predict(rows, verbose=0))


def module(folder: Path, extra: Any = None, effect: Any = None) -> Any:
    """A TensorFlow 2 program, x (rows, 4) -> p, saved with `effect` before its answer."""
    import tensorflow as tf

    class Program(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])  # type: ignore[untyped-decorator]
        def serve(self, x: Any) -> Any:
            with tf.control_dependencies([effect()] if effect else []):
                return {"p": tf.reduce_sum(x, 1)}

    program = Program()
    program.extra = extra
    tf.saved_model.save(program, str(folder / "saved"), signatures={"serving_default": program.serve})


def written(canary: Path | None) -> Any:
    """An operator that writes CANARY.index when it runs."""
    import tensorflow as tf

    return tf.raw_ops.SaveV2(
        prefix=tf.constant(str(canary)),
        tensor_names=tf.constant(["a"]),
        shape_and_slices=tf.constant([""]),
        tensors=[tf.constant([1, 2, 3])],
    )


def benign(folder: Path, canary: Path | None) -> None:
    """A program with a variable: its saver has a function that writes."""
    import tensorflow as tf

    module(folder, tf.Variable([1.0, 2.0]))


def writes_when_asked(folder: Path, canary: Path | None) -> None:
    """SaveV2 in the function that is served."""
    module(folder, effect=lambda: written(canary))


def writes_when_restored(folder: Path, canary: Path | None) -> None:
    """SaveV2 in the initializer of a resource, which loading runs."""
    import tensorflow as tf
    from tensorflow.python.trackable.resource import CapturableResource

    class Table(CapturableResource):  # type: ignore[misc]
        def _create_resource(self) -> Any:
            return tf.raw_ops.HashTableV2(key_dtype=tf.int64, value_dtype=tf.int64, shared_name="t")

        def _initialize(self) -> Any:
            written(canary)

    module(folder, Table())


def first_version(folder: Path, canary: Path | None, main: bool) -> None:
    """A TensorFlow 1 program whose SaveV2 is the op that runs first, or is needed by the op that restores."""
    import tensorflow as tf

    tf1 = tf.compat.v1
    graph = tf.Graph()
    with graph.as_default():
        x = tf1.placeholder(tf.float32, [None, 4], name="x")
        weight = tf1.get_variable(
            "w", initializer=tf.constant([[1.0], [1.0], [1.0], [1.0]]), use_resource=True
        )
        p = tf1.squeeze(tf.matmul(x, weight), 1, name="p")
        written(canary)
        operators = [one for one in graph.get_operations() if one.type == "SaveV2"]
        builder = tf1.saved_model.builder.SavedModelBuilder(str(folder / "saved"))
        with tf1.Session(graph=graph) as session:
            session.run(tf1.global_variables_initializer())
            signature = tf1.saved_model.signature_def_utils.predict_signature_def({"x": x}, {"p": p})
            builder.add_meta_graph_and_variables(
                session, ["serve"], {"serving_default": signature}, main_op=operators[0] if main else None
            )
            builder.save()


def writes_at_first(folder: Path, canary: Path | None) -> None:
    first_version(folder, canary, main=True)


def writes_while_restoring(folder: Path, canary: Path | None) -> None:
    """The op that restores weights waits for SaveV2."""
    from tensorflow.core.protobuf import saved_model_pb2

    first_version(folder, canary, main=False)
    file = folder / "saved" / "saved_model.pb"
    held = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    (meta,) = held.meta_graphs
    nodes = {node.name: node for node in meta.graph_def.node}
    stray = next(name for name, node in nodes.items() if node.op == "SaveV2" and not name.startswith("save/"))
    nodes[meta.saver_def.restore_op_name].input.append(f"^{stray}")
    file.write_bytes(held.SerializeToString())


def first_version_benign(folder: Path, canary: Path | None) -> None:
    """A TensorFlow 1 program as its own builder writes it."""
    import tensorflow as tf

    tf1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        x = tf1.placeholder(tf.float32, [None, 4], name="x")
        weight = tf1.get_variable(
            "w", initializer=tf.constant([[1.0], [1.0], [1.0], [1.0]]), use_resource=True
        )
        p = tf1.squeeze(tf.matmul(x, weight), 1, name="p")
        builder = tf1.saved_model.builder.SavedModelBuilder(str(folder / "saved"))
        with tf1.Session(graph=graph) as session:
            session.run(tf1.global_variables_initializer())
            signature = tf1.saved_model.signature_def_utils.predict_signature_def({"x": x}, {"p": p})
            builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
            builder.save()


def inexpressible(folder: Path, canary: Path | None) -> None:
    """An operator that ONNX does not have."""
    import tensorflow as tf

    module(folder, effect=lambda: tf.strings.length(tf.io.decode_base64("aGk")))


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
