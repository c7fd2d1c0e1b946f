"""optimum-onnx as a peer of the search use case: its files from its own environment, run as its users run them.

The encoder's file gives token vectors; mean pooling and the ten best are numpy, the product with the catalogue torch.
The catalogue's vectors are those of the trained model, as in our graph.
"""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modelpack.formats.signature import Arrays, Run
from modelpack.formats.variant import MEGABYTE
from modelpack.gate.reference import Reference
from modelpack.runtimes import single_thread, torch_thread
from modelpack.usecases.base import UseCase
from modelpack.usecases.search import data as shop
from modelpack.usecases.search.encoding import TOP

VARIABLE = "ECOMDEPLOY_OPTIMUM"
FILES = {"optimum export": "export/model.onnx", "optimum int8 (avx2)": "int8/model_quantized.onnx"}


def lacks() -> str:
    """Why it is not there; empty when it is."""
    return "" if os.environ.get(VARIABLE) else f"{VARIABLE} names no Python with optimum-onnx in it"


def files(reference: Reference) -> tuple[dict[str, Path], dict[str, str]]:
    """The ONNX files by peer, and the versions of what made them."""
    folder = reference.trials.folder / "optimum"
    with zipfile.ZipFile(reference.trials.data.weights) as archive:
        for name in archive.namelist():
            if name.startswith(f"{shop.MODEL}/") and not name.endswith("/"):
                target = folder / "given" / name.removeprefix(f"{shop.MODEL}/")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(name))
    program = Path(__file__).parent / "optimum_program.py"
    command = [os.environ[VARIABLE], str(program), str(folder / "given"), str(folder)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"optimum: {done.stderr.strip()[-300:]}")
    made = {name: folder / place for name, place in FILES.items()}
    return made, json.loads(done.stdout.splitlines()[-1])


def size_mb(path: Path) -> float:
    """MB of the file."""
    return path.stat().st_size / MEGABYTE


def run_of(path: Path, reference: Reference, usecase: UseCase[Any]) -> Run:
    """The encoder on one thread, with what a search needs around it."""
    import torch

    session = single_thread.session(str(path))
    vectors = usecase.load(reference.trials.reference.path).vectors
    taken = {one.name for one in session.get_inputs()}

    def run(arrays: Arrays) -> Mapping[str, Any]:
        mask = arrays["attention_mask"]
        given = {**arrays, "token_type_ids": np.zeros_like(mask)}
        (hidden,) = session.run(None, {name: given[name] for name in taken})[:1]
        pooled = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
        short = (pooled / np.linalg.norm(pooled, axis=1, keepdims=True)).astype(np.float32)
        with (
            torch_thread.inference()
        ):  # numpy's own product would take a second thread, and be charged for it
            scores = (torch.from_numpy(short) @ vectors).numpy()
        best = np.argpartition(-scores, TOP, axis=1)[:, :TOP]
        found = np.take_along_axis(scores, best, axis=1)
        order = np.argsort(-found, axis=1)
        return {
            "products": np.take_along_axis(best, order, axis=1),
            "scores": np.take_along_axis(found, order, axis=1),
        }

    return run
