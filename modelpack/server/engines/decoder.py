"""A language model behind its loop: tokens one after another, the most likely each time, until the end.

The graph does one step (`ids`, `seen`, `total` and the caches of keys and values in, `logits` and the caches out);
the caches lie in memory that is bound once, so that a step copies nothing. How the operators take and grow them:
GroupQueryAttention of https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from modelpack.server.engines import cuda
from modelpack.server.engines.base import Arrays, InvalidInput, TokenGenerator, TokenScorer
from modelpack.server.signature import Decoding, Unfit

NOTHING = -1
"""Fills up prompts and answers at their ends, where several stand in one array."""
MATCHES = (3, 2)
"""How many last tokens must have stood before, the longest first, for a guess."""
CACHE = ("keys.", "values.")
"""How the graph's caches are called; after the step they are the outputs of the same names with `.next`."""
CACHED = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int8)": np.int8}
"""What caches may be kept as, by the type that the graph declares."""
PROVIDERS: Mapping[str, list[Any]] = {
    "cpu": [cuda.FALLBACK],
    # products of float32 are otherwise rounded to 10 bits (onnxruntime.ai, CUDA execution provider, use_tf32)
    "cuda": [(cuda.PROVIDER, {"use_tf32": "0"}), cuda.FALLBACK],
}
"""Execution providers by device, the preferred first."""


class LanguageModel(TokenGenerator, TokenScorer, Protocol):
    """One that both writes and weighs."""


class Decoder:
    """One graph with one set of caches: one prompt at a time, called from one thread."""

    at_once = 1

    def __init__(self, decoding: Decoding, path: Path, threads: int, device: str = "cpu") -> None:
        """`device` ("cpu", "cuda") is where the steps run and the caches stay: to move them at every step would take
        longer than the step. Raises what ONNX Runtime raises for a damaged file, ValueError for a graph that is no such
        step, and where it did not load the device's provider."""
        # the wheels for Linux report sessions to their maker unless told not to, from 1.29 on
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.decoding = decoding
        self._prefix = list(decoding.prefix)
        self._kept = False
        self._session = ort.InferenceSession(str(path), options, providers=PROVIDERS[device])
        if self._session.get_providers()[0] != (wanted := name_of(PROVIDERS[device][0])):
            raise ValueError(f"ONNX Runtime did not load {wanted}, only {self._session.get_providers()}")
        caches = [one for one in self._session.get_inputs() if one.name.startswith(CACHE)]
        outputs = [one.name for one in self._session.get_outputs()]
        if not caches or set(outputs) != {"logits", *(f"{one.name}.next" for one in caches)}:
            raise ValueError("it is not one step of a language model with its caches")
        self.longest = int(caches[0].shape[2])
        self._binding = self._session.io_binding()
        self._binding.bind_output("logits")
        for one in caches:
            cache = ort.OrtValue.ortvalue_from_numpy(np.zeros(one.shape, CACHED[one.type]), device, 0)
            self._binding.bind_ortvalue_input(one.name, cache)
            self._binding.bind_ortvalue_output(f"{one.name}.next", cache)

    @property
    def room(self) -> int:
        """The most tokens of a prompt that leave room for a whole answer."""
        return self.longest - self.decoding.most_new

    def step(self, ids: Sequence[int], past: int, wanted: int = 1) -> NDArray[np.float32]:
        """What may follow the `wanted` last of `ids`: logits (wanted, vocabulary). `past` tokens lie in the caches."""
        total = past + len(ids)
        bind: Any = self._binding.bind_cpu_input
        # bound anew: the rows that are answered differ from step to step
        self._binding.bind_output("logits")
        bind("ids", np.array([ids], np.int64))
        bind("wanted", np.array([wanted], np.int64))
        bind("seen", np.array([total - 1], np.int32))
        bind("total", np.array([total], np.int32))
        self._session.run_with_iobinding(self._binding)
        logits: NDArray[np.float32] = self._binding.get_outputs()[0].numpy()
        return logits

    def tokens(self, prompt: Sequence[int], most: int | None = None) -> Iterator[int]:
        """The answer's tokens as they come; at most `most`, and never more than the signature allows.

        Raises InvalidInput for an empty prompt or one that leaves no room for an answer.
        """
        if not 0 < len(prompt) < self.longest:
            raise InvalidInput(f"a prompt of {len(prompt)} tokens; 1 to {self.longest - 1} are possible")
        bounds = [self.decoding.most_new, self.longest - len(prompt), *([] if most is None else [most])]
        text, left, guess = list(prompt), min(bounds), list[int]()
        past = self._begin(text)
        while left:
            given = [*text[past:], *guess]
            found = self.step(given, past, 1 + len(guess)).argmax(axis=1).tolist()
            past = len(text)
            # a guess holds as long as the model would have said the same; what it says after the last one is free
            for place, token in enumerate(found[:left]):
                if token == self.decoding.end:
                    return
                yield token
                text.append(token)
                left -= 1
                if place == len(guess) or token != guess[place]:
                    break
                past += 1
            guess = guess_ahead(text, min(self.decoding.ahead, left - 1))

    def likelihood(self, ids: Sequence[int], count: int) -> float:
        """How likely the model finds the last `count` of `ids` after those before them: the sum of their logarithms.

        Raises InvalidInput where nothing is before them, or too much in all.
        """
        if not 0 < count < len(ids) <= self.longest:
            raise InvalidInput(
                f"{count} of {len(ids)} tokens; 1 to {self.longest} are possible, one before them"
            )
        past = min(self._begin(list(ids)), len(ids) - 1 - count)
        return sum_logs(self.step(ids[past:-1], past, count), ids[-count:])

    def _begin(self, prompt: list[int]) -> int:
        """How many tokens of the prompt lie in the caches already: the prefix, or none.

        Never more, so that an answer does not depend on what was asked before.
        """
        length = len(self._prefix)
        if not length or len(prompt) <= length or prompt[:length] != self._prefix:
            self._kept = False
            return 0
        if not self._kept:
            self.step(self._prefix, 0)
            self._kept = True
        return length

    def run(self, feeds: Arrays) -> Arrays:
        """As `answer_prompts`."""
        return answer_prompts(self, self.decoding.most_new, feeds)


def answer_prompts(model: LanguageModel, most_new: int, feeds: Arrays) -> Arrays:
    """`ids` (prompts, tokens) -> `tokens` (prompts, most_new), both filled up with `NOTHING`. Where `scored` (prompts)
    is not 0 nothing is written; `likelihood` (prompts) tells how likely that many last tokens are."""
    answers = np.full((len(feeds["ids"]), most_new), NOTHING, np.int64)
    likelihood = np.zeros(len(answers), np.float32)
    for row, ids in enumerate(feeds["ids"]):
        given = ids[ids != NOTHING].tolist()
        if "scored" in feeds and (count := int(feeds["scored"][row])):
            likelihood[row] = model.likelihood(given, count)
            continue
        found = list(model.tokens(given))
        answers[row, : len(found)] = found
    return {"tokens": answers, "likelihood": likelihood}


def sum_logs(logits: NDArray[np.float32], tokens: Sequence[int]) -> float:
    """The logarithms of the likelihoods of `tokens`, each by its row of `logits` (tokens, vocabulary), together."""
    wide = logits.astype(np.float64)
    top = wide.max(axis=1)
    every = top + np.log(np.exp(wide - top[:, None]).sum(axis=1))
    return float((wide[np.arange(len(tokens)), np.asarray(tokens)] - every).sum())


def guess_ahead(text: Sequence[int], most: int) -> list[int]:
    """What may come next because it came before: what followed the last tokens where they stood earlier; at most
    `most` tokens. An answer from facts repeats them. Source: prompt lookup decoding, a speculative decoding (Leviathan
    et al., arXiv:2211.17192) without a second model: https://github.com/apoorvumang/prompt-lookup-decoding."""
    if most < 1:
        return []
    for length in MATCHES:
        last = list(text[-length:])
        for begin in range(len(text) - length - 1, -1, -1):
            if list(text[begin : begin + length]) == last:
                return list(text[begin + length : begin + length + most])
    return []


def name_of(provider: Any) -> str:
    """An execution provider's name, with or without options beside it."""
    return str(provider[0] if isinstance(provider, tuple) else provider)


def load(decoding: Decoding, path: Path, threads: int, device: str = "cpu") -> Decoder:
    """Raises `Unfit` when the file cannot be loaded or is no such graph."""
    try:
        return Decoder(decoding, path, threads, device)
    except Exception as problem:
        raise Unfit(f"{path.name} cannot be loaded: {problem}") from None
