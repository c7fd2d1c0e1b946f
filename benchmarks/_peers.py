"""The model servers that others publish, each in an environment of its own: how it is begun, asked and ended."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from cli import wiring

PROGRAMS = Path(__file__).parent / "peers"
Rows = list[list[float]]


@dataclass(frozen=True)
class Protocol:
    """How rows are asked and scores answered."""

    path: str
    write: Callable[[Rows], Any]
    read: Callable[[Any], Any]


def write_tensor(rows: Rows) -> Any:
    shape = [len(rows), len(rows[0])]
    flat = [value for row in rows for value in row]
    return {"inputs": [{"name": "features", "datatype": "FP32", "shape": shape, "data": flat}]}


def write_instances(rows: Rows) -> Any:
    return {"instances": [{"features": row} for row in rows]}


def read_tensor(told: Any) -> Any:
    [scores] = told["outputs"]
    return np.array(scores["data"]).reshape(scores["shape"])


TENSORS = Protocol("/v2/models/scores/infer", write_tensor, read_tensor)
INSTANCES = Protocol("/predict", write_instances, lambda told: told["predictions"])
ARRAYS = Protocol("/predict", lambda rows: {"features": rows}, lambda told: told)


@dataclass(frozen=True)
class Peer:
    """`start` begins it with its environment's bin folder, a folder of its own, the model and the port; `build` puts
    what is to be compiled into that bin folder."""

    requirements: tuple[str, ...]
    protocol: Protocol
    start: Callable[[Path, Path, Path, int], subprocess.Popen[bytes]]
    build: Callable[[Path], object] = lambda tools: None


def spawn(words: Sequence[str], folder: Path, **variables: str) -> subprocess.Popen[bytes]:
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            words, cwd=folder, stdout=log, stderr=log, env={**os.environ, **variables}, start_new_session=True
        )


def start_program(name: str, tools: Path, folder: Path, model: Path, port: int) -> subprocess.Popen[bytes]:
    return spawn([str(tools / "python"), str(PROGRAMS / name), str(model), str(port)], folder)


def start_mlserver(tools: Path, folder: Path, model: Path, port: int) -> subprocess.Popen[bytes]:
    shutil.copy(PROGRAMS / "mlserver_model.py", folder)
    settings = {"host": "127.0.0.1", "http_port": port, "grpc_port": free_port(), "parallel_workers": 0}
    (folder / "settings.json").write_text(json.dumps({**settings, "metrics_port": free_port()}))
    named = {"name": "scores", "implementation": "mlserver_model.Scores", "parameters": {"uri": str(model)}}
    (folder / "model-settings.json").write_text(json.dumps(named))
    return spawn([str(tools / "mlserver"), "start", "."], folder)


def start_bentoml(tools: Path, folder: Path, model: Path, port: int) -> subprocess.Popen[bytes]:
    shutil.copy(PROGRAMS / "bentoml_service.py", folder)
    words = [str(tools / "bentoml"), "serve", "bentoml_service:Scores", "--host", "127.0.0.1"]
    quiet = {"BENTOML_DO_NOT_TRACK": "true", "BENTOML_HOME": str(folder), "MODEL": str(model)}
    return spawn([*words, "--port", str(port)], folder, **quiet)


def build_ceiling(tools: Path) -> None:
    """With the library of ONNX Runtime's wheel, linked by the name that it gives itself."""
    [library] = tools.parent.glob("lib/python*/site-packages/onnxruntime/capi/libonnxruntime.so.*")
    named = tools / "libonnxruntime.so.1"
    named.unlink(missing_ok=True)
    named.symlink_to(library)
    words = ["cc", "-D_GNU_SOURCE", "-O2", str(PROGRAMS / "ceiling.c"), str(named), f"-Wl,-rpath,{tools}"]
    subprocess.run([*words, "-o", str(tools / "ceiling")], check=True)


def start_ceiling(tools: Path, folder: Path, model: Path, port: int) -> subprocess.Popen[bytes]:
    return spawn([str(tools / "ceiling"), str(model), str(port)], folder)


RUNTIME = ("onnxruntime==1.32.0", "numpy==2.4.6")
PEERS: Mapping[str, Peer] = {
    "MLServer": Peer(("mlserver==1.7.1", *RUNTIME), TENSORS, start_mlserver),
    "KServe": Peer(("kserve==0.21.0", *RUNTIME), TENSORS, partial(start_program, "kserve_server.py")),
    "LitServe": Peer(("litserve==0.2.19", *RUNTIME), INSTANCES, partial(start_program, "litserve_server.py")),
    "BentoML": Peer(("bentoml==1.4.40", *RUNTIME), ARRAYS, start_bentoml),
    "FastAPI": Peer(
        ("fastapi==0.165.0", "uvicorn[standard]==0.54.0", *RUNTIME),
        INSTANCES,
        partial(start_program, "fastapi_server.py"),
    ),
}
CEILING = "C ceiling"
"""What nobody serves with, for it checks nothing: how much of a figure is sockets, numbers as text and the model."""
SERVERS = {**PEERS, CEILING: Peer(RUNTIME, INSTANCES, start_ceiling, build_ceiling)}


def install(name: str, peer: Peer) -> Path:
    """The bin folder of an environment with what the peer needs, kept in the user's cache."""
    named = "-".join([*name.lower().split(), *(one.partition("==")[2] for one in peer.requirements)])
    place = wiring.home().cache / "peers" / named
    if not (place / "done").exists():
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        words = [str(place / "bin" / "python"), "-m", "pip", "install", "-q", *peer.requirements]
        subprocess.run(words, check=True)
        (place / "done").touch()
    peer.build(place / "bin")
    return place / "bin"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def end(process: subprocess.Popen[bytes]) -> None:
    """It, and all that it started."""
    tree = [process, *psutil.Process(process.pid).children(recursive=True)] if process.poll() is None else []
    for one in tree:
        one.terminate()
    _, left = psutil.wait_procs([one for one in tree if isinstance(one, psutil.Process)], timeout=15)
    for one in left:
        one.kill()
    if process.poll() is None:
        process.kill()
    process.wait()
