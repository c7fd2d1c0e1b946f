"""A small real model in the folder shape of an image, and a model server process that serves it."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np
from ports import free_port
from waiting import SECONDS, wait_for

PRODUCTS, WIDTH, HISTORY, TOP = 50, 8, 4, 5
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def write_model(path: pathlib.Path) -> None:
    """Scores of all products for a household's taste and the mean of its history; the best five."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(7)
    table = random.normal(size=(PRODUCTS, WIDTH)).astype(np.float32)
    taste = random.normal(size=(PRODUCTS, WIDTH)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["taste", "household"], ["who"]),
        helper.make_node("Gather", ["table", "history"], ["bought"]),
        helper.make_node("ReduceMean", ["bought", "axis"], ["mean"], keepdims=0),
        helper.make_node("Add", ["who", "mean"], ["sum"]),
        helper.make_node("MatMul", ["sum", "columns"], ["all"]),
        helper.make_node("TopK", ["all", "top"], ["scores", "products"], axis=1),
    ]
    weights = {
        "table": table,
        "taste": taste,
        "columns": table.T.copy(),
        "axis": np.array([1], dtype=np.int64),
        "top": np.array([TOP], dtype=np.int64),
    }
    graph = helper.make_graph(
        nodes,
        "recommender",
        [
            helper.make_tensor_value_info("household", TensorProto.INT64, ["rows"]),
            helper.make_tensor_value_info("history", TensorProto.INT64, ["rows", HISTORY]),
        ],
        [
            helper.make_tensor_value_info("products", TensorProto.INT64, ["rows", TOP]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", TOP]),
        ],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def expected(household: int, history: list[int]) -> dict[str, Any]:
    """The answer, computed beside the server with numpy."""
    random = np.random.default_rng(7)
    table = random.normal(size=(PRODUCTS, WIDTH)).astype(np.float32)
    taste = random.normal(size=(PRODUCTS, WIDTH)).astype(np.float32)
    padded = (history[-HISTORY:] + [0] * HISTORY)[:HISTORY]
    scores = (taste[household] + table[padded].mean(axis=0)) @ table.T
    best = np.argsort(-scores, kind="stable")[:TOP]
    return {"products": best.tolist(), "scores": scores[best].tolist()}


def serving(**more: Any) -> dict[str, Any]:
    """`serving.json` of that model."""
    request = {"instances": [{"household": 3, "history": [5, 6]}, {"household": 4}]}
    return {
        "format": 1,
        "model": "recommendation",
        "runtime": "onnxruntime",
        "file": "model.onnx",
        "threads": 1,
        "inputs": [
            {"name": "household", "datatype": "INT64", "shape": [-1]},
            {"name": "history", "datatype": "INT64", "shape": [-1, HISTORY], "default": 0},
        ],
        "outputs": [
            {"name": "products", "datatype": "INT64", "shape": [-1, TOP]},
            {"name": "scores", "datatype": "FP32", "shape": [-1, TOP]},
        ],
        "max_batch": 8,
        "golden": [{"request": request, "answer": {"predictions": [expected(3, [5, 6]), expected(4, [])]}}],
        "tolerance": {
            "scores": {"kind": "close", "rtol": 0.01, "atol": 0.001},
            "products": {"kind": "ranking", "overlap": 0.8},
        },
        **more,
    }


def write_file_manifest(root: pathlib.Path) -> str:
    """Write `files.json` over every file below `root`, as packing does; returns the content digest."""
    place = root / "opt/ecomdeploy/files.json"
    place.unlink(missing_ok=True)
    files = {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    lines = b"".join(f"{path}\0{files[path]}\n".encode() for path in sorted(files))
    identity = "sha256:" + hashlib.sha256(lines).hexdigest()
    place.write_text(json.dumps({"format": 2, "content_digest": identity, "lists": {}, "files": files}))
    return identity


def tree(root: pathlib.Path, **more: Any) -> str:
    """The model and its file manifest below `root`; returns the content digest."""
    folder = root / "opt/ecomdeploy/model"
    folder.mkdir(parents=True)
    write_model(folder / "model.onnx")
    (folder / "serving.json").write_text(json.dumps(serving(**more)))
    return write_file_manifest(root)


@dataclasses.dataclass
class Process:
    """One server process and a client for it."""

    process: subprocess.Popen[str]
    url: str
    output: pathlib.Path

    def lines(self) -> list[dict[str, Any]]:
        """Its log so far."""
        return [json.loads(line) for line in self.output.read_text().splitlines() if line.startswith("{")]

    def wait_ready(self) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, self.output.read_text()
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(f"{self.url}/ping").status_code == 200
            return False

        try:
            wait_for(ready)
        except AssertionError as late:
            raise AssertionError(f"not ready: {self.output.read_text()}") from late

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(SECONDS)


def launch(root: pathlib.Path, variables: Mapping[str, str] | None = None, *arguments: str) -> Process:
    """Start `python -m modelpack.server serve` over the tree at `root`."""
    port = free_port()
    output = root.parent / f"{root.name}.log"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(REPOSITORY),
        "ECOMDEPLOY_ROOT": str(root),
        "ECOMDEPLOY_HOST": "127.0.0.1",
        "SAGEMAKER_BIND_TO_PORT": str(port),
        **(variables or {}),
    }
    command = [sys.executable, "-m", "modelpack.server", *(arguments or ("serve",))]
    with output.open("w") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=subprocess.STDOUT, text=True, cwd=root
        )
    return Process(process, f"http://127.0.0.1:{port}", output)
