"""What of the GPU benchmark runs without a GPU: its turns, its fixed buffers, its refusal."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from model_server import HISTORY, PRODUCTS, REPOSITORY, write_model

from benchmarks import gpu, gpu_program


def test_the_program_times_ways_in_turns_and_compares_their_answers(tmp_path: pathlib.Path) -> None:
    write_model(tmp_path / "model.onnx")
    random = np.random.default_rng(1)
    np.savez(
        tmp_path / "rows.npz",
        household=random.integers(0, PRODUCTS, 48),
        history=random.integers(0, PRODUCTS, (48, HISTORY)),
    )
    way = {"file": str(tmp_path / "model.onnx"), "cuda": None}
    task = {
        "examples": str(tmp_path / "rows.npz"),
        "batch": 16,
        "turns": 3,
        "device": "cpu",
        "ways": {"plain": way, "fixed buffers": {**way, "graph": True}},
    }
    found = gpu_program.main(task)
    assert list(found) == ["plain", "fixed buffers"]
    for figures in found.values():
        assert 0 < figures["p50_ms"] <= figures["p99_ms"]
        assert figures["rows_per_s"] > 0
        assert figures["differs_by"] == 0


def test_a_cuda_way_without_cuda_ends_the_program(tmp_path: pathlib.Path) -> None:
    write_model(tmp_path / "model.onnx")
    with pytest.raises(SystemExit, match="did not load its CUDA provider"):
        gpu_program.opened({"file": str(tmp_path / "model.onnx"), "cuda": {}})


def test_the_task_names_every_way(tmp_path: pathlib.Path) -> None:
    path = gpu.task_of(tmp_path, tmp_path, {"x": np.zeros(3)}, 64, tmp_path / "half.onnx")
    ways = json.loads(path.read_text())["ways"]
    assert next(iter(ways.values()))["cuda"] is None
    assert {"cuda", "cuda, fp16", "cuda, graphs", "cuda, without cuDNN"} <= set(ways)


@pytest.mark.skipif(not gpu.lacks(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so_and_measures_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "gpu"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "gpu: needs a machine with an NVIDIA GPU: there is no NVIDIA driver"
    )
    assert done.stdout == ""
