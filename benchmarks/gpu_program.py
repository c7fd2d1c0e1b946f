"""Run by an image's own interpreter, on a machine with a GPU: times one model in several ways, in turns.

    python3 gpu_program.py TASK.json     {"examples": "rows.npz", "batch": 64, "turns": 25,
                                          "ways": {"name": {"file": "model.onnx", "cuda": {provider options} or null,
                                                            "graph": false}}}

Prints one JSON document: per way the wall ms of one request (median and p99 of all turns), rows per second in full
batches, and the largest difference of its answers from the first way's. With `graph` runs are captured and replayed by
the server's own code, which is in the image.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime as ort

from modelpack.server.engines.graphs import OPTION, Replayed

Arrays = dict[str, Any]
SINGLES = 40


def opened(way: dict[str, Any]) -> Any:
    """A session on the GPU, or on the CPU where the way says none. Ends the program when CUDA does not load."""
    providers: list[Any] = ["CPUExecutionProvider"]
    if way["cuda"] is not None:
        options = {**way["cuda"], **(OPTION if way.get("graph") else {})}
        providers.insert(0, ("CUDAExecutionProvider", options))
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = 1
    session = ort.InferenceSession(way["file"], settings, providers=providers)
    if way["cuda"] is not None and session.get_providers()[0] != "CUDAExecutionProvider":
        sys.exit(f"ONNX Runtime did not load its CUDA provider: {session.get_providers()}")
    return session


def plain(session: Any) -> Callable[[Arrays], list[Any]]:
    return lambda rows: list(session.run(None, rows))


def replayed(session: Any, batch: int, device: str) -> Callable[[Arrays], list[Any]]:
    names = [item.name for item in session.get_outputs()]
    graphs = Replayed(session, names, batch, device)
    return lambda rows: list(graphs.run(rows).values())


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
        name: replayed(opened(way), task["batch"], task.get("device", "cuda"))
        if way.get("graph")
        else plain(opened(way))
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
