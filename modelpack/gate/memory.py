"""Peak memory of a model, honestly: a fresh process that loads it and answers one batch, and nothing else.

`VmHWM` of /proc/self/status (proc(5)), not `ru_maxrss`: the latter keeps the parent's peak over `exec`, so that a
child of a large process would look large. The figure holds the interpreter and the runtime's library as well.
"""

from __future__ import annotations

import importlib
import inspect
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from modelpack.errors import EcomdeployError
from modelpack.formats.signature import Arrays, Signature
from modelpack.formats.variant import MEGABYTE, Variant
from modelpack.inputs.children import child_environment, module_command
from modelpack.usecases.base import UseCase, usecases
from modelpack.usecases.own_model.given import GivenModel

KIBIBYTE = 1024
LONGEST = 300
"""Seconds a model may take to load and answer one batch."""


def peak_mb(variant: Variant, usecase: UseCase[Any], batch: Arrays) -> float:
    """Peak resident memory in MB (1e6 bytes). Raises EcomdeployError when the process dies or takes too long."""
    with tempfile.TemporaryDirectory(prefix="ecomdeploy-memory-") as folder:
        task = write_task(variant, usecase, batch, Path(folder))
        try:
            done = subprocess.run(
                module_command("modelpack.gate.memory", json.dumps(task)),
                capture_output=True,
                text=True,
                timeout=LONGEST,
                env=child_environment(),
            )
        except subprocess.TimeoutExpired as error:
            raise EcomdeployError(f"a fresh process did not answer one batch in {LONGEST} s") from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise EcomdeployError(
            f"a fresh process that loads it ends with status {done.returncode}: {said[-1] if said else 'nothing said'}"
        )
    return float(done.stdout.split()[-1])


def write_task(variant: Variant, usecase: UseCase[Any], batch: Arrays, folder: Path) -> dict[str, Any]:
    """What the fresh process is told, as JSON takes it; the batch is written into `folder`."""
    kind, arrays = type(usecase), folder / "batch.npz"
    given: dict[str, Any] = {name: without_objects(np.asarray(array)) for name, array in batch.items()}
    np.savez(arrays, **given)
    return {
        "module": kind.__module__,
        "file": inspect.getfile(kind),
        "class": kind.__qualname__,
        "format": variant.format,
        "path": str(variant.path),
        "batch": str(arrays),
        "signature": msgspec.to_builtins(usecase.signature()),
    }


def answer_once(task: dict[str, Any]) -> float:
    """In the child: load, answer one batch, and say this process' peak in MB."""
    from modelpack.runtimes.base import formats_of, runtime_for
    from modelpack.runtimes.hardware import CPU, CUDA

    usecase = usecase_of(task)
    if isinstance(usecase, GivenModel):
        usecase.adopt(msgspec.convert(task["signature"], Signature))
    with np.load(task["batch"], allow_pickle=False) as arrays:
        batch: Arrays = {name: with_texts(arrays[name]) for name in arrays.files}
    hardware = CPU if task["format"] in formats_of(CPU) else CUDA
    runtime_for(task["format"], hardware).open(Variant(task["format"], Path(task["path"])), usecase)(batch)
    return own_peak_kib() * KIBIBYTE / MEGABYTE


def without_objects(array: NDArray[Any]) -> NDArray[Any]:
    """Texts in a form that needs no pickle."""
    return array.astype(np.str_) if array.dtype.kind == "O" else array


def with_texts(array: NDArray[Any]) -> NDArray[Any]:
    """Texts as the runtime takes them."""
    return array.astype(np.object_) if array.dtype.kind == "U" else array


def usecase_of(task: dict[str, str]) -> UseCase[Any]:
    """Ours by its module; a user's own by its file."""
    if task["module"].startswith("modelpack."):
        found: UseCase[Any] = getattr(importlib.import_module(task["module"]), task["class"])()
        return found
    return usecases().get(f"{task['file']}:{task['class']}", Path("/"))


def own_peak_kib() -> int:
    """The most this process has had in memory, in KiB."""
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.is_file() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // KIBIBYTE if sys.platform == "darwin" else peak


if __name__ == "__main__":
    print(answer_once(json.loads(sys.argv[1])))
