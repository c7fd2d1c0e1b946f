"""OpenVINO on the CPU (docs.openvino.ai/2026/openvino-workflow/running-inference.html), for its own format, IR.

Imported only where `serving.json` names this runtime. `openvino` itself sends nothing; `openvino-telemetry`, which its
model converter would use, is not in the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modelpack.server.engines.base import Arrays, InvalidInput
from modelpack.server.signature import ModelSignature, Unfit

if TYPE_CHECKING:
    import openvino

PRECISION = ("ecomdeploy", "precision")
BOUNDS = ("ecomdeploy", "bounds")
"""Where the IR says in which precision to compute, and below which number each input's values must be
("input_ids=30522,..."): OpenVINO reads zeros for a row that a table does not have."""
FULL = "f32"


class OpenVinoSession:
    """A compiled model and one request, called from one thread at a time."""

    def __init__(self, path: Path, threads: int) -> None:
        """Raises RuntimeError for a file that is no IR or holds what the CPU plug-in lacks."""
        import openvino

        self._tensor = openvino.Tensor
        model = openvino.Core().read_model(str(path))
        self.compiled = openvino.Core().compile_model(
            model, "CPU", settings(read_runtime_info(model, PRECISION), threads)
        )
        self._request = self.compiled.create_infer_request()
        self.inputs = tuple(port.any_name for port in self.compiled.inputs)
        self.outputs = tuple(port.any_name for port in self.compiled.outputs)
        pairs = [pair.split("=") for pair in read_runtime_info(model, BOUNDS).split(",") if pair]
        self._bounds = {name: int(rows) for name, rows in pairs}

    @property
    def precision(self) -> str:
        """What it computes in: "f32" also where bf16 was asked of a CPU that has none."""
        kind: str = self.compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        return kind

    def run(self, feeds: Arrays, outputs: Sequence[str]) -> Arrays:
        """Raises InvalidInput for a value beyond its table, or what does not fit the model's shapes."""
        for name, rows in self._bounds.items():
            check(name, feeds[name], rows)
        try:
            for name in self.inputs:
                given = np.ascontiguousarray(feeds[name])
                self._request.set_tensor(name, self._tensor(given, shared_memory=True))
            self._request.infer()
        except RuntimeError as problem:
            raise InvalidInput(str(problem).strip().splitlines()[-1]) from None
        # the request writes into the same memory again
        return {name: np.array(self._request.get_tensor(name).data) for name in outputs}


class OpenVinoEngine:
    """A model in OpenVINO's IR, as the server runs it."""

    def __init__(self, signature: ModelSignature, path: Path) -> None:
        try:
            self._session = OpenVinoSession(path, signature.threads)
        except RuntimeError as problem:
            raise Unfit(f"{path.name} cannot be loaded: {problem}") from None
        self._outputs = list(signature.model_outputs)
        if set(self._session.inputs) != signature.model_inputs:
            raise Unfit(
                f"{path.name} takes {sorted(self._session.inputs)}, "
                f"serving.json says {sorted(signature.model_inputs)}"
            )
        if absent := set(self._outputs) - set(self._session.outputs):
            raise Unfit(f"{path.name} does not give {sorted(absent)}")

    def run(self, feeds: Arrays) -> Arrays:
        return self._session.run(feeds, self._outputs)


def settings(precision: str, threads: int) -> dict[str, Any]:
    """One stream, answers as soon as possible; the scheduler, not the library, places the threads."""
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": precision or FULL,
    }


def read_runtime_info(model: openvino.Model, path: Sequence[str]) -> str:
    """What the IR says at a place of its run-time information; empty: nothing."""
    if not model.has_rt_info(list(path)):
        return ""
    return str(model.get_rt_info(list(path)).astype(str))


def check(name: str, array: NDArray[Any], rows: int) -> None:
    """Raises InvalidInput for a value that is no row of a table of `rows`; negative ones count from its end (ONNX)."""
    if array.size and not (-rows <= int(array.min()) and int(array.max()) < rows):
        wrong = array[(array < -rows) | (array >= rows)].flat[0]
        raise InvalidInput(f"{name!r}: {wrong} is not within {-rows} and {rows - 1}")
