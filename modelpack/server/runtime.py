"""What executes the model: one protocol, one loader per runtime name of `serving.json`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from modelpack.server.contract import Contract, Unfit

Arrays = dict[str, NDArray[Any]]


class InvalidInput(Exception):
    """The model refused the values it was given (an index out of range, for instance)."""


class Runtime(Protocol):
    """Called from one thread at a time."""

    def run(self, feeds: Arrays) -> Arrays:
        """Outputs by name, for inputs by name; the first axis is rows in both. Raises `InvalidInput`."""
        ...


class OnnxRuntime:
    """A session of ONNX Runtime on the CPU."""

    def __init__(self, contract: Contract, path: Path) -> None:
        # the wheels for Linux report sessions to their maker unless told not to, from 1.29 on
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = contract.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # idle threads must sleep, not spin: other servers share the cores
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as problem:
            raise Unfit(f"{path.name} cannot be loaded: {problem}") from None
        self._refusals = (ort.capi.onnxruntime_pybind11_state.InvalidArgument,)
        self._outputs = [tensor.name for tensor in contract.outputs]
        given = {item.name for item in self._session.get_inputs()}
        promised = contract.model_inputs
        if given != promised:
            raise Unfit(f"{path.name} takes {sorted(given)}, serving.json says {sorted(promised)}")
        absent = set(self._outputs) - {item.name for item in self._session.get_outputs()}
        if absent:
            raise Unfit(f"{path.name} does not give {sorted(absent)}")

    def run(self, feeds: Arrays) -> Arrays:
        try:
            values = self._session.run(self._outputs, feeds)
        except self._refusals as problem:
            raise InvalidInput(str(problem)) from None
        return {name: np.asarray(value) for name, value in zip(self._outputs, values, strict=True)}


LOADERS: Mapping[str, Callable[[Contract, Path], Runtime]] = {"onnxruntime": OnnxRuntime}


def load(contract: Contract, folder: Path) -> Runtime:
    """The runtime that `contract` names, with its model file loaded. Raises `Unfit`."""
    loader = LOADERS.get(contract.runtime)
    if loader is None:
        raise Unfit(f"runtime {contract.runtime!r} is not in this server ({', '.join(LOADERS)})")
    return loader(contract, folder / contract.file)
