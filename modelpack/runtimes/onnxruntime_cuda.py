"""ONNX Runtime on an NVIDIA GPU (onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html).

Everything but the driver comes from wheels. onnxruntime-gpu 1.31 is built with CUDA 13.0 (its
`build_and_package_info.py`), so the libraries are those of the CUDA 13.0 toolkit, as NVIDIA's `cuda-toolkit` pins them:
a driver of the 580 series, CUDA 13.0 itself, then runs them without leaning on minor version compatibility, under
which PTX is not compiled (docs.nvidia.com/deploy/cuda-compatibility). Not run on a GPU by us: see docs/gpu.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from modelpack.formats.signature import Run
from modelpack.formats.variant import Variant
from modelpack.runtimes.base import Loadable
from modelpack.runtimes.hardware import CUDA
from modelpack.runtimes.onnxruntime import SERVER, OnnxRuntime

VERSION = "1.31.1"
TOOLKIT = "13.0"
DEPS = "/opt/ecomdeploy/deps"


class OnnxRuntimeCuda(OnnxRuntime):
    """Executes ONNX graphs by the CUDA execution provider, what it lacks by the CPU's."""

    name: ClassVar[str] = "onnxruntime-cuda"
    hardware: ClassVar[str] = CUDA
    # language models keep keys and values in it (passes/shared/half_attention.py), and the pass fp16 all else
    arithmetic: ClassVar[str] = "float16"
    cuda: ClassVar[str] = TOOLKIT
    host_libraries: ClassVar[frozenset[str]] = frozenset({"libcuda.so.1"})
    opened: ClassVar[tuple[str, ...]] = ("libcudnn.so.9", "libcufft.so.12", "libnvrtc.so.13")
    left_out: ClassVar[tuple[str, ...]] = (
        # wants TensorRT 10 (libnvinfer.so.10), which no wheel on PyPI holds: docs/gpu.md
        "onnxruntime/capi/libonnxruntime_providers_tensorrt.so",
        # for compilers only: headers, static libraries, a second nvrtc for other C++ runtimes
        "nvidia/*/include/*",
        "nvidia/*.a",
        "nvidia/cu13/lib/libnvrtc*.alt.so*",
    )
    environment: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "LD_LIBRARY_PATH": f"{DEPS}/nvidia/cu13/lib:{DEPS}/nvidia/cudnn/lib",
            # what NVIDIA's base images set, so that its container runtime brings the driver in
            # (docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/docker-specialized.html)
            "NVIDIA_VISIBLE_DEVICES": "all",
            "NVIDIA_DRIVER_CAPABILITIES": "compute,utility",
            "NVIDIA_REQUIRE_CUDA": f"cuda>={TOOLKIT}",
        }
    )
    device_code: ClassVar[tuple[str, str]] = (
        "onnxruntime-gpu",
        "onnxruntime/capi/libonnxruntime_providers_cuda.so",
    )

    def requirements(self) -> tuple[str, ...]:
        """The wheels of the runtime, of CUDA's libraries, and of the server."""
        return (
            f"onnxruntime-gpu=={VERSION}",
            f"cuda-toolkit[cublas,cudart,cufft,curand,nvrtc]=={TOOLKIT}.*",
            "nvidia-cudnn-cu13>=9,<10",
            f"nvidia-nvjitlink=={TOOLKIT}.*",
            *SERVER,
        )

    def at_hand(self) -> bool:
        from modelpack.server.engines import cuda

        return isinstance(cuda.look(), cuda.Device) and cuda.PROVIDER in cuda.providers()

    def where(self) -> str:
        from modelpack.server.engines import cuda

        found = cuda.look() if self.at_hand() else ""
        return found.words if isinstance(found, cuda.Device) else super().where()

    def open(self, variant: Variant, task: Loadable) -> Run:
        """On the GPU where there is one; else through the CPU provider, which is what a machine without one can say."""
        from modelpack.server.engines import cuda
        from modelpack.server.engines.graphs import OPTION, Replayed

        if not self.at_hand():
            return super().open(variant, task)
        if not variant.session.get("cuda_graph"):
            return self.running(variant, task, [cuda.PROVIDER, cuda.FALLBACK])
        session = self.session(variant, [(cuda.PROVIDER, OPTION), cuda.FALLBACK])
        return Replayed(session, self.outputs(task), task.max_batch).run
