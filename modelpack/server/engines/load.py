"""Which engine executes the model: one loader per runtime name of `serving.json`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from modelpack.server import log
from modelpack.server.engines import cuda
from modelpack.server.engines.base import Engine
from modelpack.server.engines.onnxruntime import OnnxRuntimeCudaEngine, OnnxRuntimeEngine
from modelpack.server.signature import ModelSignature, Needs, Unfit


def open_vino(signature: ModelSignature, path: Path) -> Engine:
    """OpenVINO's IR on the CPU. Its module is loaded here, and only in images that have OpenVINO. Raises `Unfit`."""
    from modelpack.server.engines.openvino import OpenVinoEngine

    return OpenVinoEngine(signature, path)


def vllm(signature: ModelSignature, path: Path) -> Engine:
    """A language model on the GPU by vLLM, which is loaded here, and only in images that have it. Raises `Unfit`."""
    from modelpack.server.engines.vllm import load

    return load(signature, path)


Loader = Callable[[ModelSignature, Path], Engine]
LOADERS: Mapping[str, Loader] = {
    "onnxruntime": OnnxRuntimeEngine,
    "onnxruntime-cuda": OnnxRuntimeCudaEngine,
    "openvino": open_vino,
    "vllm": vllm,
}
LOOPING = frozenset({"vllm"})
"""Runtimes that loop over a language model's steps themselves."""
ON_CPU: Mapping[str, str] = {"onnxruntime-cuda": "onnxruntime"}
"""What stands in for a GPU runtime where a rehearsal allows the CPU."""


@dataclass(frozen=True)
class Choice:
    """The runtime to load and the hardware that it will run on: "cpu" or "cuda"."""

    runtime: str
    hardware: str


def choose(
    signature: ModelSignature, allow_cpu: bool = False, look: Callable[[], cuda.Device | str] = cuda.look
) -> Choice:
    """The runtime for this machine. A GPU pack never serves on a CPU unless `allow_cpu`. Raises `Unfit`."""
    name, needs = signature.runtime, signature.needs
    if name not in LOADERS:
        raise Unfit(f"runtime {name!r} is not in this server ({', '.join(LOADERS)})")
    if needs.hardware == "cpu":
        return Choice(name, "cpu")
    reason = lacks(needs, look())
    if not reason:
        return Choice(name, needs.hardware)
    if name not in ON_CPU:
        raise Unfit(f"{reason}. This pack is for a GPU, and nothing stands in for {name} on the CPU")
    if not allow_cpu:
        raise Unfit(f"{reason}. This pack is for a GPU; {cuda.ALLOW}=1 lets it serve on the CPU, slowly")
    log.say("no GPU", reason=reason, hardware="cpu", allowed_by=cuda.ALLOW)
    return Choice(ON_CPU[name], "cpu")


def lacks(needs: Needs, found: cuda.Device | str) -> str:
    """Why this machine cannot run the pack; empty when it can."""
    cubins, ptx = needs.kernels.get("cubins", ()), needs.kernels.get("ptx", ())
    return cuda.unfit(found, needs.cuda, cubins, ptx)


def load(signature: ModelSignature, folder: Path, choice: Choice | None = None) -> Engine:
    """The chosen runtime, by default the one that `signature` names, with its model file loaded. Raises `Unfit`."""
    chosen = choice or choose(signature)
    if signature.decoding is not None and chosen.runtime not in LOOPING:
        from modelpack.server.engines import decoder

        file = folder / signature.file
        return decoder.load(signature.decoding, file, signature.threads, chosen.hardware)
    return LOADERS[chosen.runtime](signature, folder / signature.file)
