"""Runs that are captured once and replayed: inputs and outputs stay at fixed places on the device.

CUDA graphs launch all kernels of a run at once instead of one by one. A graph holds for one shape, so there is one per
number of rows, in powers of two; requests between are filled up with their last row.
onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html, "Using CUDA Graphs". Replaying has not run on a GPU
here; buffers, filling and shapes are tested on the CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelpack.server.engines.base import Arrays

OPTION = {"enable_cuda_graph": "1"}
GRAPH, NONE = "gpu_graph_id", "-1"


@dataclass(frozen=True)
class BoundBuffers:
    """Buffers of one number of rows, bound to the session."""

    binding: Any
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    options: Any


class Replayed:
    """Runs an `onnxruntime.InferenceSession` through fixed buffers on `device`; one thread at a time.

    `outputs` are the names to give, `most` the largest number of rows that is asked for at once.
    """

    def __init__(self, session: Any, outputs: list[str], most: int, device: str = "cuda") -> None:
        self._session, self._outputs, self._device = session, outputs, device
        self._sizes = sizes(most)
        self._bound: dict[tuple[Any, ...], BoundBuffers] = {}

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """Outputs by name. The arrays are the caller's: later runs do not change them."""
        rows = len(next(iter(feeds.values())))
        size = next((one for one in self._sizes if one >= rows), rows)
        filled = {name: fill(array, size) for name, array in feeds.items()}
        key = tuple((name, array.shape, array.dtype.str) for name, array in sorted(filled.items()))
        if key not in self._bound:
            self._bound[key] = self._bind(filled, str(len(self._bound) + 1))
        bound = self._bound[key]
        for name, array in filled.items():
            bound.inputs[name].update_inplace(array)
        self._session.run_with_iobinding(bound.binding, bound.options)
        # on the CPU numpy() is a view of the fixed buffer
        return {name: value.numpy()[:rows].copy() for name, value in bound.outputs.items()}

    def _bind(self, feeds: Arrays, number: str) -> BoundBuffers:
        """Buffers for these shapes; what comes out is learnt from one run that is not captured."""
        import onnxruntime as ort

        seen = dict(zip(self._outputs, self._session.run(self._outputs, feeds, options(NONE)), strict=True))
        binding = self._session.io_binding()
        # on the CPU a value shares the array's memory, and the caller's must stay what it is
        inputs = {
            name: ort.OrtValue.ortvalue_from_numpy(array.copy(), self._device, 0)
            for name, array in feeds.items()
        }
        outputs = {
            name: ort.OrtValue.ortvalue_from_shape_and_type(list(one.shape), one.dtype, self._device, 0)
            for name, one in seen.items()
        }
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        for name, value in outputs.items():
            binding.bind_ortvalue_output(name, value)
        return BoundBuffers(binding, inputs, outputs, options(number))


def options(graph: str) -> Any:
    """Run options that name the graph to capture or replay; -1: neither."""
    import onnxruntime as ort

    made = ort.RunOptions()
    made.add_run_config_entry(GRAPH, graph)
    return made


def sizes(most: int) -> tuple[int, ...]:
    """1, 2, 4 ... and `most`."""
    powers = [1 << place for place in range(most.bit_length()) if 1 << place < most]
    return (*powers, most)


def fill(array: NDArray[Any], size: int) -> NDArray[Any]:
    """The array with its last row repeated until it has `size` rows."""
    lacking = size - len(array)
    repeated = np.repeat(array[-1:], lacking, axis=0) if lacking > 0 else array[:0]
    return np.ascontiguousarray(np.concatenate([array, repeated]) if lacking > 0 else array)
