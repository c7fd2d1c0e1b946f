"""vLLM on an NVIDIA GPU: language models from a Hugging Face folder (docs.vllm.ai/en/v0.33.0).

By vLLM's documentation and sources; not run on a GPU by us (docs/gpu.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from types import MappingProxyType
from typing import ClassVar

from modelpack.errors import BadInput
from modelpack.formats.signature import Run
from modelpack.formats.variant import HUGGING_FACE, Variant
from modelpack.language.task import decoding_of
from modelpack.runtimes.base import Loadable, Runtime
from modelpack.runtimes.eager import on_one_thread
from modelpack.runtimes.hardware import CUDA
from modelpack.runtimes.onnxruntime import SERVER, OnnxRuntime
from modelpack.runtimes.onnxruntime_cuda import OnnxRuntimeCuda

VERSION = "0.33.0"
SCRATCH = "/tmp"  # noqa: S108 - in a container of its own
CACHES = ("VLLM_CACHE_ROOT", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")


class Vllm(Runtime):
    """Executes a language model's folder; without a GPU by PyTorch, which tells whether the folder holds the model."""

    name: ClassVar[str] = "vllm"
    format: ClassVar[str] = HUGGING_FACE
    hardware: ClassVar[str] = CUDA
    arithmetic: ClassVar[str] = "bfloat16"
    cuda: ClassVar[str] = "13.0"
    # Triton compiles a launcher in C the first time a kernel runs (triton-lang.org, `triton/runtime/build.py`)
    debian_packages: ClassVar[tuple[str, ...]] = (
        *OnnxRuntime.debian_packages,
        "gcc",
        "libc6-dev",
        "python3-dev",
    )
    host_libraries: ClassVar[frozenset[str]] = OnnxRuntimeCuda.host_libraries
    # in the wheel of 0.33.0: machine code for 7.5, 8.0, 8.6, 8.9, 9.0, 10.0, 12.0, and PTX
    device_code: ClassVar[tuple[str, str]] = ("vllm", "vllm/_C_stable_libtorch.abi3.so")
    environment: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            **OnnxRuntimeCuda.environment,
            # it reports its use unless told not to (docs.vllm.ai/en/v0.33.0/usage/usage_stats)
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1",
            # the server's threads are there before the engine's process is
            "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
            # the server's user has no home; what is compiled at start is written here
            **{name: f"{SCRATCH}/{name.lower()}" for name in CACHES},
        }
    )

    def requirements(self) -> tuple[str, ...]:
        """vLLM, which pins torch and its CUDA libraries, and the server's."""
        return (f"vllm=={VERSION}", *SERVER)

    def at_hand(self) -> bool:
        from modelpack.server.engines import cuda

        return isinstance(cuda.look(), cuda.Device) and find_spec("vllm") is not None

    def open(self, variant: Variant, task: Loadable) -> Run:
        """On the GPU where there is one; else the folder read back into our own module, in float32."""
        decoding = decoding_of(task)
        if decoding is None:
            raise BadInput(f"{task.name} is no language model", where=str(variant.path))
        if self.at_hand():
            from modelpack.server.engines.vllm import open_vllm

            writer = open_vllm(decoding, variant.path)
            return lambda inputs: writer.run(dict(inputs))
        from modelpack.language.hugging_face import read

        return on_one_thread(read(variant.path.parent, decoding.most_new), task)
