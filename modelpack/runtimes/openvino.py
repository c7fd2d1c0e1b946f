"""OpenVINO on the CPU: its own format (IR), one thread, as `modelpack.server.engines.openvino` serves it.

Of the wheel the CPU plug-in and the reader of IR stay in the image: 86 of 180 MB.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import ClassVar

from modelpack.errors import BadInput
from modelpack.formats.signature import Arrays, Run
from modelpack.formats.variant import OPENVINO, Variant
from modelpack.runtimes.base import Loadable, Runtime
from modelpack.runtimes.onnxruntime import SERVER, OnnxRuntime

OTHERS = ("gguf", "jax", "onnx", "paddle", "pytorch", "tensorflow", "tensorflow_lite")


class OpenVino(Runtime):
    """Executes OpenVINO's IR."""

    name: ClassVar[str] = "openvino"
    format: ClassVar[str] = OPENVINO
    debian_packages: ClassVar[tuple[str, ...]] = OnnxRuntime.debian_packages
    unneeded: ClassVar[frozenset[str]] = frozenset({"openvino-telemetry"})
    left_out: ClassVar[tuple[str, ...]] = (
        # other devices
        "openvino/libs/libopenvino_intel_gpu_plugin.so",
        "openvino/libs/libopenvino_intel_npu_plugin*.so",
        "openvino/libs/cache.json",
        "openvino/libs/libopenvino_auto*_plugin.so",
        "openvino/libs/libopenvino_hetero_plugin.so",
        # readers of other formats than IR; converters, headers
        *(f"openvino/libs/libopenvino_{name}_frontend.so*" for name in OTHERS),
        *(f"openvino/frontend/{name}/*" for name in OTHERS),
        "openvino/cmake/*",
        "openvino/include/*",
        "openvino/tools/*",
        "openvino/torch/*",
        "bin/*",
    )

    def requirements(self) -> tuple[str, ...]:
        """The server's libraries, and the very OpenVINO that measures and answers here."""
        return (f"openvino=={version('openvino')}", *SERVER)

    def open(self, variant: Variant, task: Loadable) -> Run:
        from modelpack.server.engines.openvino import OpenVinoSession

        try:
            session = OpenVinoSession(variant.path, 1)
        except RuntimeError as error:
            words = str(error).strip().splitlines()[-1]
            raise BadInput(f"OpenVINO cannot load it: {words}", where=str(variant.path)) from error
        names = [tensor.name for tensor in task.signature().outputs]

        def run(inputs: Arrays) -> Arrays:
            return session.run(dict(inputs), names)

        return run
