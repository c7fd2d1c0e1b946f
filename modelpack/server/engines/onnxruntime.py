"""ONNX Runtime as an engine, on the CPU and by CUDA."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from modelpack.server.engines import cuda
from modelpack.server.engines.base import Arrays, InvalidInput
from modelpack.server.engines.graphs import OPTION, Replayed
from modelpack.server.signature import ModelSignature, Unfit


class OnnxRuntimeEngine:
    """A session of ONNX Runtime on the CPU."""

    providers: ClassVar[tuple[str, ...]] = (cuda.FALLBACK,)

    def __init__(self, signature: ModelSignature, path: Path) -> None:
        # the wheels for Linux report sessions to their maker unless told not to, from 1.29 on
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = signature.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # idle threads must sleep, not spin: other servers share the cores
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(
                str(path), options, providers=self.choose_providers(signature)
            )
        except Exception as problem:
            raise Unfit(f"{path.name} cannot be loaded: {problem}") from None
        # ONNX Runtime goes on without a provider that it cannot load, with no more than a warning
        if self._session.get_providers()[0] != self.providers[0]:
            raise Unfit(
                f"ONNX Runtime did not load {self.providers[0]}, only {self._session.get_providers()}"
            )
        self._refusals = (ort.capi.onnxruntime_pybind11_state.InvalidArgument,)
        self._outputs = list(signature.model_outputs)
        given = {item.name for item in self._session.get_inputs()}
        promised = signature.model_inputs
        if given != promised:
            raise Unfit(f"{path.name} takes {sorted(given)}, serving.json says {sorted(promised)}")
        absent = set(self._outputs) - {item.name for item in self._session.get_outputs()}
        if absent:
            raise Unfit(f"{path.name} does not give {sorted(absent)}")

    def choose_providers(self, signature: ModelSignature) -> list[Any]:
        """The execution providers, the preferred first, with their options."""
        return list(self.providers)

    def run(self, feeds: Arrays) -> Arrays:
        try:
            values = self._session.run(self._outputs, feeds)
        except self._refusals as problem:
            raise InvalidInput(str(problem)) from None
        return {name: np.asarray(value) for name, value in zip(self._outputs, values, strict=True)}


class OnnxRuntimeCudaEngine(OnnxRuntimeEngine):
    """A session of ONNX Runtime on the first GPU; operators that CUDA lacks run on the CPU."""

    providers: ClassVar[tuple[str, ...]] = (cuda.PROVIDER, cuda.FALLBACK)

    def __init__(self, signature: ModelSignature, path: Path) -> None:
        super().__init__(signature, path)
        replays = signature.session.cuda_graph
        self._replayed = Replayed(self._session, self._outputs, signature.max_batch) if replays else None

    def choose_providers(self, signature: ModelSignature) -> list[Any]:
        return (
            [(cuda.PROVIDER, OPTION), cuda.FALLBACK]
            if signature.session.cuda_graph
            else super().choose_providers(signature)
        )

    def run(self, feeds: Arrays) -> Arrays:
        if self._replayed is None:
            return super().run(feeds)
        try:
            return self._replayed.run(feeds)
        except self._refusals as problem:
            raise InvalidInput(str(problem)) from None
