"""The golden answers of a GPU pack, where there is no GPU: asked of the image's own layers, through the CPU provider.

The image's interpreter, server, ONNX Runtime and model are unpacked from the layers just written (those of CUDA's
libraries, which the CPU provider never opens, stay packed) and run by the image's own loader, as in
`image/wheels/bytecode.py`: no root, no container, nothing of this machine's Python.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from modelpack.errors import EcomdeployError
from modelpack.image.config import ROLE
from modelpack.image.oci.blob import BlobSource
from modelpack.image.oci.descriptor import Descriptor
from modelpack.image.oci.unpack import unpack
from modelpack.image.wheels.bytecode import INTERPRETER, LIBRARIES, LOADER
from modelpack.progress import Progress
from modelpack.runtimes.hardware import CPU

SECONDS = 600
NOT_OPENED = ("wheels: nvidia-", "wheels: cuda-")
PROGRAM = "modelpack.server.prove"


def golden_answers(source: BlobSource, digest: str, progress: Progress) -> str:
    """Ask the image's golden requests of its own layers; how it went, in words for the record.

    Raises EcomdeployError when an answer differs, or the image does not run.
    """
    progress.step("Asking the image's own layers the golden requests")
    with tempfile.TemporaryDirectory(prefix="ecomdeploy-proof-") as folder:
        root = unpack(source, digest, Path(folder) / "image", skip=holds_cuda_only)
        if not (root / LOADER).is_file():
            return "not asked: the base is an image from a registry, which is not run here"
        done = _run(root)
    said = done.stdout.decode("utf-8", "replace").strip().splitlines()
    if done.returncode or not said:
        error = done.stderr.decode("utf-8", "replace").strip().splitlines()
        why = error[-1] if error else f"status {done.returncode}"
        raise EcomdeployError(f"the image does not answer its golden requests here: {why}")
    count, hardware = said[-1].split()
    through = "the CPU provider of the image's own runtime" if hardware == CPU else hardware
    told = f"{count} golden requests answered right by the image's own layers, through {through}"
    progress.note(told)
    return told


def holds_cuda_only(layer: Descriptor) -> bool:
    """Whether a layer holds CUDA's libraries only."""
    return layer.annotations.get(ROLE, "").startswith(NOT_OPENED)


def _run(root: Path) -> subprocess.CompletedProcess[bytes]:
    loader, libraries, python = (str(root / path) for path in (LOADER, LIBRARIES, INTERPRETER))
    command = [loader, "--library-path", libraries, python, "-s", "-B", "-P", "-m", PROGRAM, str(root)]
    environment = {
        "PYTHONHOME": str(root / "usr"),
        "PYTHONPATH": f"{root}/opt/ecomdeploy/app:{root}/opt/ecomdeploy/deps",
        "LC_ALL": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "ORT_DISABLE_TELEMETRY": "1",
    }
    try:
        return subprocess.run(
            command, env=environment, cwd=root, capture_output=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise EcomdeployError(f"the image does not run here: {problem}") from problem
