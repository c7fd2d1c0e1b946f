"""The GPU image's very layers on a GPU, on real requests: CUDA against the CPU provider, fp16, graphs, without cuDNN.

UNTESTED on a GPU: no machine with one was at hand when it was written. What runs without one (the program's turns, its
CPU way, the sentence below) has tests. The image is packed as `ecomdeploy pack` packs it, unpacked whole, and its own
interpreter runs `gpu_program.py` through its own loader; of this machine comes only the driver. Results name the card.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelpack.formats.variant import ONNX, Variant
from modelpack.home import Home
from modelpack.image.oci.layout import Layout
from modelpack.image.oci.unpack import unpack
from modelpack.image.wheels.bytecode import INTERPRETER, LIBRARIES, LOADER
from modelpack.pack import Pack
from modelpack.progress import Silent
from modelpack.runtimes.onnxruntime_cuda import OnnxRuntimeCuda
from modelpack.server.engines import cuda
from modelpack.usecases.base import usecases

USECASES = ("recommendation", "search")
DRIVER_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib64",
    "/usr/local/nvidia/lib64",
    "/lib/x86_64-linux-gnu",
)
MODEL = "opt/ecomdeploy/model"
TURNS, EXAMPLES = 25, 256


def lacks() -> str:
    """Why this cannot be measured here; empty when it can."""
    found = cuda.look()
    if isinstance(found, str):
        return f"needs a machine with an NVIDIA GPU: {found.replace('in this container', 'on this machine')}"
    return ""


def measure() -> dict[str, object]:
    """Figures per use case, and the card they were taken on."""
    found = cuda.look()
    if isinstance(found, str):
        raise SystemExit(lacks())
    card = {"card": found.words, "driver_folder": driver_folder(DRIVER_FOLDERS)}
    return {**card, **{name: of(name) for name in USECASES}}


def of(name: str) -> dict[str, Any]:
    """One use case: packed, unpacked, measured."""
    cache = Path(os.environ.get("ECOMDEPLOY_CACHE") or Path.home() / ".cache/ecomdeploy")
    with tempfile.TemporaryDirectory(prefix="ecomdeploy-gpu-") as folder:
        home = Home(Path(folder) / "home", cache)
        made = packed(name, home, Path(folder))
        root = unpack(Layout(home.images), made.digest, Path(folder) / "image")
        usecase = usecases().get(name)
        data = usecase.prepare(home, Silent())
        task = task_of(
            root, Path(folder), usecase.examples(data, EXAMPLES), usecase.max_batch, halved(root, name)
        )
        return {"image": made.digest, "needs": made.record["needs"], "ways": run(root, task)}


def packed(name: str, home: Home, project: Path) -> Pack:
    from modelpack.build import PackRequest, build
    from modelpack.inputs.spec import ModelSpec, PackSpec

    asked = PackRequest(name, ModelSpec(), PackSpec(), "ml.g6.xlarge", project, hardware="cuda")
    return build(asked, home, Silent())


def halved(root: Path, name: str) -> Path:
    """The image's model after the pass fp16, beside the image."""
    from modelpack.passes.base import PassContext
    from modelpack.passes.fp16 import Fp16

    variant = Variant(ONNX, root / MODEL / "model.onnx")
    context = PassContext(usecases().get(name), {}, root.parent / "fp16")
    return Fp16().apply(variant, context).path


def task_of(
    root: Path, folder: Path, examples: Mapping[str, Any], batch: int, half: Path, turns: int = TURNS
) -> Path:
    """The program's task file: the CPU provider first, which the answers of all others are compared with."""
    import numpy as np

    rows = folder / "rows.npz"
    np.savez(rows, **examples)
    whole = str(root / MODEL / "model.onnx")
    ways = {
        "cpu provider": {"file": whole, "cuda": None},
        "cuda": {"file": whole, "cuda": {}},
        "cuda, fp16": {"file": str(half), "cuda": {}},
        "cuda, graphs": {"file": whole, "cuda": {}, "graph": True},
        "cuda, without cuDNN": {"file": whole, "cuda": {"enable_cudnn": "0"}},
    }
    path = folder / "task.json"
    path.write_text(json.dumps({"examples": str(rows), "batch": batch, "turns": turns, "ways": ways}))
    return path


def run(root: Path, task: Path) -> dict[str, Any]:
    """The program in the image's own interpreter."""
    own = [
        str(root / folder.lstrip("/")) for folder in OnnxRuntimeCuda.environment["LD_LIBRARY_PATH"].split(":")
    ]
    libraries = ":".join([str(root / LIBRARIES), *own, driver_folder(DRIVER_FOLDERS)])
    program = Path(__file__).parent / "gpu_program.py"
    command = [str(root / LOADER), "--library-path", libraries, str(root / INTERPRETER), "-s", "-B", "-P"]
    environment = {
        "PYTHONHOME": str(root / "usr"),
        "PYTHONPATH": f"{root}/opt/ecomdeploy/app:{root}/opt/ecomdeploy/deps",
        "ORT_DISABLE_TELEMETRY": "1",
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(
        [*command, str(program), str(task)], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"the program ended with status {done.returncode}: {done.stderr.strip()[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def driver_folder(folders: Sequence[str]) -> str:
    """Where the driver's library lies; "" where it does not."""
    return next((folder for folder in folders if (Path(folder) / cuda.LIBRARY).exists()), "")
