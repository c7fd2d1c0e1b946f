"""What executes the model: one protocol, one loader per runtime name of `serving.json`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from modelpack.server import cuda, log
from modelpack.server.contract import Contract, Needs, Unfit
from modelpack.server.graphs import OPTION, Replayed

Arrays = dict[str, NDArray[Any]]


class InvalidInput(Exception):
    """The model refused the values it was given (an index out of range, for instance)."""


class Runtime(Protocol):
    """Called from one thread at a time."""

    def run(self, feeds: Arrays) -> Arrays:
        """Outputs by name, for inputs by name; the first axis is rows in both. Raises `InvalidInput`."""
        ...


@runtime_checkable
class Writer(Protocol):
    """A language model behind its loop. `room`: the most tokens of a prompt; `at_once`: from how many threads `tokens`
    may be asked."""

    @property
    def room(self) -> int: ...

    @property
    def at_once(self) -> int: ...

    def tokens(self, prompt: Sequence[int], most: int | None = None) -> Iterator[int]:
        """The answer's tokens as they come, at most `most`. Raises `InvalidInput`."""
        ...


@runtime_checkable
class Reader(Protocol):
    """A language model that also tells how likely it finds a text."""

    def likelihood(self, ids: Sequence[int], count: int) -> float:
        """The sum of the logarithms for the last `count` of `ids`. Raises `InvalidInput`."""
        ...


class OnnxRuntime:
    """A session of ONNX Runtime on the CPU."""

    providers: ClassVar[tuple[str, ...]] = (cuda.FALLBACK,)

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
            self._session = ort.InferenceSession(str(path), options, providers=self.wanted(contract))
        except Exception as problem:
            raise Unfit(f"{path.name} cannot be loaded: {problem}") from None
        # ONNX Runtime goes on without a provider that it cannot load, with no more than a warning
        if self._session.get_providers()[0] != self.providers[0]:
            raise Unfit(
                f"ONNX Runtime did not load {self.providers[0]}, only {self._session.get_providers()}"
            )
        self._refusals = (ort.capi.onnxruntime_pybind11_state.InvalidArgument,)
        self._outputs = [tensor.name for tensor in contract.outputs]
        given = {item.name for item in self._session.get_inputs()}
        promised = contract.model_inputs
        if given != promised:
            raise Unfit(f"{path.name} takes {sorted(given)}, serving.json says {sorted(promised)}")
        absent = set(self._outputs) - {item.name for item in self._session.get_outputs()}
        if absent:
            raise Unfit(f"{path.name} does not give {sorted(absent)}")

    def wanted(self, contract: Contract) -> list[Any]:
        """The execution providers, the preferred first, with their options."""
        return list(self.providers)

    def run(self, feeds: Arrays) -> Arrays:
        try:
            values = self._session.run(self._outputs, feeds)
        except self._refusals as problem:
            raise InvalidInput(str(problem)) from None
        return {name: np.asarray(value) for name, value in zip(self._outputs, values, strict=True)}


class OnnxRuntimeCuda(OnnxRuntime):
    """A session of ONNX Runtime on the first GPU; operators that CUDA lacks run on the CPU."""

    providers: ClassVar[tuple[str, ...]] = (cuda.PROVIDER, cuda.FALLBACK)

    def __init__(self, contract: Contract, path: Path) -> None:
        super().__init__(contract, path)
        replays = contract.session.cuda_graph
        self._replayed = Replayed(self._session, self._outputs, contract.max_batch) if replays else None

    def wanted(self, contract: Contract) -> list[Any]:
        return (
            [(cuda.PROVIDER, OPTION), cuda.FALLBACK]
            if contract.session.cuda_graph
            else super().wanted(contract)
        )

    def run(self, feeds: Arrays) -> Arrays:
        if self._replayed is None:
            return super().run(feeds)
        try:
            return self._replayed.run(feeds)
        except self._refusals as problem:
            raise InvalidInput(str(problem)) from None


def open_vino(contract: Contract, path: Path) -> Runtime:
    """OpenVINO's IR on the CPU. Its module is loaded here, and only in images that have OpenVINO. Raises `Unfit`."""
    from modelpack.server.openvino import OpenVino

    return OpenVino(contract, path)


def vllm(contract: Contract, path: Path) -> Runtime:
    """A language model on the GPU by vLLM, which is loaded here, and only in images that have it. Raises `Unfit`."""
    from modelpack.server.vllm import load

    return load(contract, path)


Loader = Callable[[Contract, Path], Runtime]
LOADERS: Mapping[str, Loader] = {
    "onnxruntime": OnnxRuntime,
    "onnxruntime-cuda": OnnxRuntimeCuda,
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
    contract: Contract, allow_cpu: bool = False, look: Callable[[], cuda.Device | str] = cuda.look
) -> Choice:
    """The runtime for this machine. A GPU pack never serves on a CPU unless `allow_cpu`. Raises `Unfit`."""
    name, needs = contract.runtime, contract.needs
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


def load(contract: Contract, folder: Path, choice: Choice | None = None) -> Runtime:
    """The chosen runtime, by default the one that `contract` names, with its model file loaded. Raises `Unfit`."""
    chosen = choice or choose(contract)
    if contract.decoding is not None and chosen.runtime not in LOOPING:
        from modelpack.server import decoder

        file = folder / contract.file
        return decoder.load(contract.decoding, file, contract.threads, chosen.hardware)
    return LOADERS[chosen.runtime](contract, folder / contract.file)
