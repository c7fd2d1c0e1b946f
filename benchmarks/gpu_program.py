"""Run by an image's own interpreter, on a machine with a GPU: times one model in several ways, in turns.

    python3 gpu_program.py TASK.json     {"examples": "rows.npz", "batch": 64, "turns": 25,
                                          "ways": {"name": {"file": "model.onnx", "cuda": {provider options} or null,
                                                            "graph": false}}}

Prints one JSON document: per way the wall ms of one request (median and p99 of all turns), rows per second in full
batches, and the largest difference of its answers from the first way's. With `graph` the inputs and outputs stay on
the GPU under fixed addresses and the captured graph is replayed
(onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html, "Using CUDA Graphs"). Imports nothing of ours.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime as ort

Arrays = dict[str, Any]
SINGLES = 40


def opened(way: dict[str, Any]) -> Any:
    """A session on the GPU, or on the CPU where the way says none. Ends the program when CUDA does not load."""
    providers: list[Any] = ["CPUExecutionProvider"]
    if way["cuda"] is not None:
        options = {**way["cuda"], **({"enable_cuda_graph": "1"} if way.get("graph") else {})}
        providers.insert(0, ("CUDAExecutionProvider", options))
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = 1
    session = ort.InferenceSession(way["file"], settings, providers=providers)
    if way["cuda"] is not None and session.get_providers()[0] != "CUDAExecutionProvider":
        sys.exit(f"ONNX Runtime did not load its CUDA provider: {session.get_providers()}")
    return session


def plain(session: Any) -> Callable[[Arrays], list[Any]]:
    return lambda rows: list(session.run(None, rows))


class Graph:
    """A session whose run is captured once per number of rows and replayed."""

    def __init__(self, session: Any, device: str = "cuda") -> None:
        self.session, self.device = session, device
        self.bound: dict[int, tuple[Any, Arrays, list[Any], Any]] = {}

    def __call__(self, rows: Arrays) -> list[Any]:
        count = len(next(iter(rows.values())))
        if count not in self.bound:
            self.bound[count] = self.bind(rows, count)
        binding, inputs, outputs, options = self.bound[count]
        for name, array in rows.items():
            inputs[name].update_inplace(array)
        self.session.run_with_iobinding(binding, options)
        # on the CPU numpy() is a view of the fixed buffer
        return [value.numpy().copy() for value in outputs]

    def bind(self, rows: Arrays, count: int) -> tuple[Any, Arrays, list[Any], Any]:
        """Fixed buffers for this many rows; each number of rows is a graph of its own."""
        binding, inputs, outputs = self.session.io_binding(), {}, []
        for name, array in rows.items():
            inputs[name] = ort.OrtValue.ortvalue_from_numpy(array, self.device, 0)
            binding.bind_ortvalue_input(name, inputs[name])
        for shaped in self.session.run(None, rows) if self.device == "cpu" else self.shapes(rows):
            value = ort.OrtValue.ortvalue_from_shape_and_type(
                list(shaped.shape), shaped.dtype, self.device, 0
            )
            outputs.append(value)
        for item, value in zip(self.session.get_outputs(), outputs, strict=True):
            binding.bind_ortvalue_output(item.name, value)
        options = ort.RunOptions()
        options.add_run_config_entry("gpu_graph_id", str(count))
        return binding, inputs, outputs, options

    def shapes(self, rows: Arrays) -> list[Any]:
        """Answers of the same rows without a graph, for their shapes."""
        options = ort.RunOptions()
        options.add_run_config_entry("gpu_graph_id", "-1")
        return list(self.session.run(None, rows, options))


def cut(examples: Arrays, size: int) -> list[Arrays]:
    count = min(len(array) for array in examples.values())
    return [
        {name: np.ascontiguousarray(array[begin : begin + size]) for name, array in examples.items()}
        for begin in range(0, count - size + 1, size)
    ]


def main(task: dict[str, Any]) -> dict[str, Any]:
    """All ways in turns; the first is what the answers of the others are compared with."""
    with np.load(task["examples"], allow_pickle=False) as arrays:
        examples = {name: arrays[name] for name in arrays.files}
    singles, batches = cut(examples, 1)[:SINGLES], cut(examples, task["batch"])
    runs = {
        name: Graph(opened(way), task.get("device", "cuda")) if way.get("graph") else plain(opened(way))
        for name, way in task["ways"].items()
    }
    walls: dict[str, list[float]] = {name: [] for name in runs}
    rates: dict[str, list[float]] = {name: [] for name in runs}
    answers = {name: [run(one) for one in batches[:1] + singles] for name, run in runs.items()}
    for turn in range(task["turns"]):
        for name in list(runs) if turn % 2 == 0 else list(reversed(runs)):
            for one in singles:
                begin = time.perf_counter()
                runs[name](one)
                walls[name].append(time.perf_counter() - begin)
            begin = time.perf_counter()
            for many in batches:
                runs[name](many)
            rates[name].append(len(batches) * task["batch"] / (time.perf_counter() - begin))
    first = next(iter(runs))
    return {
        name: {
            "p50_ms": round(float(np.quantile(walls[name], 0.5)) * 1e3, 4),
            "p99_ms": round(float(np.quantile(walls[name], 0.99)) * 1e3, 4),
            "rows_per_s": round(float(np.median(rates[name])), 1),
            "differs_by": furthest(answers[first], answers[name]),
        }
        for name in runs
    }


def furthest(wanted: list[list[Any]], got: list[list[Any]]) -> float:
    """The largest difference of any number in the answers."""
    pairs = [pair for one, other in zip(wanted, got, strict=True) for pair in zip(one, other, strict=True)]
    return max(float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max()) for a, b in pairs)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        print(json.dumps(main(json.load(file))))
