"""The NVIDIA driver and GPU of this container, asked through the driver's own library, and nothing else.

CUDA driver API (docs.nvidia.com/cuda/cuda-driver-api): cuInit, cuDriverGetVersion, cuDeviceGetCount,
cuDeviceGetAttribute. ONNX Runtime falls back to the CPU with no more than a warning when any of it is missing: a server
of a GPU pack looks first, and says what it found.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LIBRARY = "libcuda.so.1"
PROVIDER, FALLBACK = "CUDAExecutionProvider", "CPUExecutionProvider"
ALLOW = "ECOMDEPLOY_ALLOW_CPU"
"""Set to 1, a GPU pack may serve on the CPU: rehearsals set it, nothing else should."""
MAJOR, MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR."""


@dataclass(frozen=True)
class Device:
    """The first GPU. `cuda`: the newest CUDA version its driver runs ((13, 0)); `capability`: (8, 9)."""

    cuda: tuple[int, int]
    capability: tuple[int, int]
    name: str = ""

    @property
    def words(self) -> str:
        """ "NVIDIA L4 (compute capability 8.9, driver for CUDA 13.0)"."""
        capability, cuda = _with_dots(self.capability), _with_dots(self.cuda)
        return f"{self.name or 'GPU'} (compute capability {capability}, driver for CUDA {cuda})"


def look(load: Callable[[str], Any] = ctypes.CDLL) -> Device | str:
    """The first GPU, or why there is none."""
    try:
        driver = load(LIBRARY)
    except OSError:
        return f"there is no NVIDIA driver in this container ({LIBRARY} is absent)"
    status = driver.cuInit(0)
    if status:
        return f"the NVIDIA driver does not start (cuInit: error {status})"
    version, count = ctypes.c_int(), ctypes.c_int()
    if status := driver.cuDriverGetVersion(ctypes.byref(version)) or driver.cuDeviceGetCount(
        ctypes.byref(count)
    ):
        return f"the NVIDIA driver does not answer (error {status})"
    if count.value < 1:
        return "the NVIDIA driver sees no GPU"
    parts = []
    for attribute in (MAJOR, MINOR):
        value = ctypes.c_int()
        if status := driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, 0):
            return f"the NVIDIA driver does not answer (error {status})"
        parts.append(value.value)
    name = ctypes.create_string_buffer(256)
    driver.cuDeviceGetName(name, len(name), 0)
    newest = (version.value // 1000, version.value % 1000 // 10)
    return Device(newest, (parts[0], parts[1]), name.value.decode("utf-8", "replace"))


def unfit(found: Device | str, cuda: str, cubins: tuple[int, ...], ptx: tuple[int, ...]) -> str:
    """Why this machine cannot run a pack for CUDA `cuda` with these kernels; empty when it can."""
    if isinstance(found, str):
        return found
    major = int(cuda.partition(".")[0])
    if found.cuda[0] < major:
        return f"the NVIDIA driver runs CUDA {_with_dots(found.cuda)}, and the pack needs CUDA {cuda}"
    if not runs(found.capability, cubins, ptx):
        return f"the GPU's compute capability is {_with_dots(found.capability)}, and the pack has no kernels for it"
    return ""


def runs(capability: tuple[int, int], cubins: tuple[int, ...], ptx: tuple[int, ...]) -> bool:
    """Whether kernels for these architectures run on that compute capability.

    Machine code runs on its own major version, from its minor version up; PTX on every later one
    (docs.nvidia.com/cuda/cuda-c-programming-guide, "Application Compatibility").
    """
    major, minor = capability
    exact = any(one // 10 == major and one % 10 <= minor for one in cubins)
    return exact or any(one <= 10 * major + minor for one in ptx)


def providers() -> tuple[str, ...]:
    """The execution providers that the installed ONNX Runtime was built with."""
    import onnxruntime as ort

    return tuple(ort.get_available_providers())


def _with_dots(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
