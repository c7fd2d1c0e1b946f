"""ONNX Runtime on the CPU (onnxruntime.ai/docs/api/python/api_summary.html).

One intra-op thread: a request is far below a millisecond, and the server scales by processes.
"""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import Any, ClassVar

from modelpack.errors import BadInput, EcomdeployError, first_line
from modelpack.formats.signature import Arrays, Run
from modelpack.formats.variant import ONNX, Variant
from modelpack.language.task import decoding_of
from modelpack.runtimes import single_thread
from modelpack.runtimes.base import Loadable, Runtime
from modelpack.runtimes.hardware import CPU, CUDA
from modelpack.server.engines.cuda import PROVIDER
from modelpack.server.signature import Decoding

SERVER = ("httptools>=0.6,<1", "msgspec>=0.19,<1", "numpy>=2,<3", "uvicorn>=0.34,<1", "uvloop>=0.21,<1")


class OnnxRuntime(Runtime):
    """Executes ONNX graphs with their weights beside them."""

    name: ClassVar[str] = "onnxruntime"
    format: ClassVar[str] = ONNX
    debian_packages: ClassVar[tuple[str, ...]] = (
        "base-files",
        "ca-certificates",
        "libgomp1",
        "libstdc++6",
        "netbase",
        "python3",
    )
    unneeded: ClassVar[frozenset[str]] = frozenset(
        {"flatbuffers", "packaging", "protobuf", "sympy", "mpmath"}
    )

    def requirements(self) -> tuple[str, ...]:
        """The server's libraries, and the very ONNX Runtime that measures and answers here."""
        return (f"onnxruntime=={version('onnxruntime')}", *SERVER)

    def open(self, variant: Variant, task: Loadable) -> Run:
        return self.running(variant, task, ["CPUExecutionProvider"])

    def running(self, variant: Variant, task: Loadable, providers: list[Any]) -> Run:
        """The variant in a session with these execution providers, the preferred first. Raises BadInput."""
        if decoding := decoding_of(task):
            return decoder(variant, decoding, CUDA if PROVIDER in providers else CPU)
        session, names = self.session(variant, providers), self.outputs(task)

        def run(inputs: Arrays) -> Arrays:
            try:
                return dict(zip(names, session.run(names, dict(inputs)), strict=True))
            except Exception as error:  # its own have no class in common that it names
                raise EcomdeployError(f"ONNX Runtime cannot run the model: {first_line(error)}") from error

        return run

    def session(self, variant: Variant, providers: list[Any]) -> Any:
        """An `onnxruntime.InferenceSession` on one thread. Raises BadInput when it cannot load the file."""
        # Its Linux wheels send telemetry unless told not to before the import.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            return onnxruntime.InferenceSession(str(variant.path), options, providers=providers)
        except Exception as error:
            raise BadInput(
                f"ONNX Runtime cannot load it: {first_line(error)}", where=str(variant.path)
            ) from error

    def open_inner(self, variant: Variant, task: Loadable, value: str) -> Run | None:
        """A second session, on the CPU, of the graph with that value as its only output; None when it has none."""
        import onnx

        model = onnx.load(str(variant.path))
        if not any(value in node.output for node in model.graph.node):
            return None
        del model.graph.output[:]
        model.graph.output.append(onnx.helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, None))
        session = single_thread.session(model.SerializeToString())

        def run(arrays: Arrays) -> Arrays:
            return {value: session.run([value], dict(arrays))[0]}

        return run

    def outputs(self, task: Loadable) -> list[str]:
        """The names that the graph gives."""
        return [tensor.name for tensor in task.signature().outputs]


def decoder(variant: Variant, decoding: Decoding, device: str = CPU) -> Run:
    """A language model's step with the server's loop around it, its caches on the `device`. Raises BadInput."""
    from modelpack.server.engines.decoder import load
    from modelpack.server.signature import Unfit

    try:
        found = load(decoding, variant.path, 1, device)
    except Unfit as problem:
        raise BadInput(str(problem), where=str(variant.path)) from None

    def run(inputs: Arrays) -> Arrays:
        return found.run(dict(inputs))

    return run
