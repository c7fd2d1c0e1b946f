"""Keras and TensorFlow models to ONNX, in a process of its own: TensorFlow is large, loud and native.

The extra `tensorflow` brings it; nothing here loads it.
"""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from typing import Any

from modelpack.errors import BadInput
from modelpack.formats.variant import Variant
from modelpack.inputs.children import child_environment, module_command
from modelpack.sources.fitting import fit_names
from modelpack.sources.onnx import adopt_signature, read, take_graph
from modelpack.usecases.base import UseCase

NEEDED = ("tensorflow", "keras", "tf2onnx")
SECONDS = 1800
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": ""}


def convert(kind: str, path: Path, usecase: UseCase[Any], folder: Path) -> Variant:
    """The variant of a checked `keras` file or `savedmodel` folder.

    Raises BadInput when TensorFlow is not there, cannot convert it, or the result does not fit the use case.
    """
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise BadInput(
            f"a {kind} model is read by {', '.join(missing)}, which is not installed here",
            where=str(path),
            hint="pip install 'ecomdeploy[tensorflow]'",
        )
    folder.mkdir(parents=True, exist_ok=True)
    given = folder.parent / f"{folder.name}.converted.onnx"
    command = module_command("modelpack.sources.tensorflow_convert", kind, str(path.resolve()), str(given))
    environment = child_environment(**QUIET)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BadInput(f"TensorFlow did not convert it within {SECONDS} s", where=str(path)) from error
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if line.startswith("refused: ")]
        last = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
        reason = told[-1].removeprefix("refused: ") if told else f"TensorFlow cannot take it: {last}"
        raise BadInput(reason[:500], where=str(path))
    try:
        graph = read(given)
        adopt_signature(graph, usecase, path)
        graph = fit_names(graph, usecase.signature())
    finally:
        given.unlink()
    return take_graph(graph, usecase, path, folder)
