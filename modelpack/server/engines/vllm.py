"""vLLM as an engine: prompts in, tokens out as they come, many at a time (docs.vllm.ai/en/v0.33.0).

Written by vLLM's documentation and sources (`vllm/v1/engine/async_llm.py`), tested with `FakeLlmEngine` in its place;
not run on a GPU by us. Imported only where `serving.json` names this runtime. Answers are greedy. That they do not
depend on who else asks is more than vLLM promises: numbers differ in their last bits with what shares a step.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

from modelpack.server.engines.base import Arrays, InvalidInput
from modelpack.server.engines.decoder import answer_prompts
from modelpack.server.signature import Decoding, ModelSignature, Unfit

CONFIG = "config.json"
AT_ONCE = 32
"""Answers at the same time; vLLM joins their steps."""


class LlmEngine(Protocol):
    """What of vLLM is used; called on one event loop."""

    def write(self, name: str, prompt: Sequence[int], most: int) -> AsyncGenerator[Sequence[int], None]:
        """The answer's tokens as they come, at most `most`; closing or cancelling it stops the engine's work on it."""
        ...

    async def weigh(self, name: str, ids: Sequence[int]) -> Sequence[float]:
        """The logarithms of how likely each of `ids` but the first is after those before it."""
        ...


class VllmEngine:
    """A language model on the GPU; `tokens` may be asked from up to `at_once` threads."""

    at_once = AT_ONCE

    def __init__(self, decoding: Decoding, longest: int, start: Callable[[], LlmEngine]) -> None:
        """`longest`: tokens of prompt and answer together; `start` is called on the engine's own event loop. Raises
        what it raises."""
        self.decoding, self.longest = decoding, longest
        self._numbers = itertools.count()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="engine", daemon=True).start()

        async def make() -> LlmEngine:
            return start()

        try:
            self._engine = asyncio.run_coroutine_threadsafe(make(), self._loop).result()
        except BaseException:
            self.close()
            raise

    @property
    def room(self) -> int:
        """The most tokens of a prompt that leave room for a whole answer."""
        return self.longest - self.decoding.most_new

    def close(self) -> None:
        """End the event loop; answers on their way get no more tokens."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    def tokens(self, prompt: Sequence[int], most: int | None = None) -> Iterator[int]:
        """The answer's tokens as they come; at most `most`, and never more than the signature allows. Whoever stops
        asking stops the engine.

        Raises InvalidInput for an empty prompt or one that leaves no room for an answer, and what vLLM raised.
        """
        if not 0 < len(prompt) < self.longest:
            raise InvalidInput(f"a prompt of {len(prompt)} tokens; 1 to {self.longest - 1} are possible")
        bounds = [self.decoding.most_new, self.longest - len(prompt), *([] if most is None else [most])]
        found = SimpleQueue[int | Exception | None]()
        writing = asyncio.run_coroutine_threadsafe(self._write(prompt, min(bounds), found), self._loop)
        try:
            while (token := found.get()) is not None:
                if isinstance(token, Exception):
                    raise token
                yield token
        finally:
            writing.cancel()

    def likelihood(self, ids: Sequence[int], count: int) -> float:
        """How likely the model finds the last `count` of `ids` after those before them: the sum of their logarithms.

        Raises InvalidInput where nothing is before them, or too much in all, and what vLLM raised.
        """
        if not 0 < count < len(ids) < self.longest:
            raise InvalidInput(f"{count} of {len(ids)} tokens; 1 to {self.longest - 1} are possible")
        weighing = self._engine.weigh(f"weighing-{next(self._numbers)}", ids)
        found = asyncio.run_coroutine_threadsafe(_await(weighing), self._loop).result()
        return float(sum(found[-count:]))

    async def _write(
        self, prompt: Sequence[int], most: int, found: SimpleQueue[int | Exception | None]
    ) -> None:
        """On the engine's event loop."""
        try:
            answer = self._engine.write(f"answer-{next(self._numbers)}", prompt, most)
            async with contextlib.aclosing(answer) as parts:
                async for part in parts:
                    for token in part:
                        # the token that stops an answer is among its tokens
                        if token == self.decoding.end:
                            return
                        found.put(token)
        except Exception as problem:
            found.put(problem)
        finally:
            found.put(None)

    def run(self, feeds: Arrays) -> Arrays:
        """As `answer_prompts`."""
        return answer_prompts(self, self.decoding.most_new, feeds)


async def _await(found: Awaitable[Sequence[float]]) -> Sequence[float]:
    return await found


class AsyncLlmEngine:
    """vLLM's own `AsyncLLM`: the model in a process of its own, one step for all answers together."""

    def __init__(self, folder: Path, longest: int, decoding: Decoding) -> None:
        """Within an event loop. Raises what vLLM raises for a folder that it cannot load."""
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        self._end = decoding.end
        arguments = AsyncEngineArgs(
            model=str(folder),
            # texts are made of tokens by who asks, control tokens never of texts
            skip_tokenizer_init=True,
            load_format="safetensors",
            dtype="bfloat16",
            max_model_len=longest,
            max_num_seqs=AT_ONCE,
            enable_prefix_caching=True,
            generation_config="vllm",
            seed=0,
            disable_log_stats=True,
        )
        self._engine: Any = AsyncLLM.from_engine_args(arguments)

    async def write(self, name: str, prompt: Sequence[int], most: int) -> AsyncGenerator[Sequence[int], None]:
        from vllm import TokensPrompt
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        wanted = SamplingParams(
            temperature=0.0,
            max_tokens=most,
            stop_token_ids=[self._end],
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,
        )
        given = TokensPrompt(prompt_token_ids=list(prompt))
        async with contextlib.aclosing(self._engine.generate(given, wanted, name)) as outputs:
            async for output in outputs:
                yield output.outputs[0].token_ids

    async def weigh(self, name: str, ids: Sequence[int]) -> Sequence[float]:
        from vllm import TokensPrompt
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        # 0: of the prompt's own tokens only; such a request does not read the prefix cache
        wanted = SamplingParams(
            temperature=0.0,
            max_tokens=1,
            prompt_logprobs=0,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        given = TokensPrompt(prompt_token_ids=list(ids))
        async with contextlib.aclosing(self._engine.generate(given, wanted, name)) as outputs:
            # the first token has nothing before it
            parts = [output.prompt_logprobs async for output in outputs][-1][1:]
        return [float(part[token].logprob) for part, token in zip(parts, ids[1:], strict=True)]


class FakeLlmEngine:
    """In vLLM's place: says what `say` says, token by token, once `together` answers are wanted; `weights` are the
    likelihoods of tokens, of all others 0."""

    def __init__(
        self,
        say: Callable[[Sequence[int]], Iterable[int]],
        together: int = 1,
        weights: Mapping[int, float] | None = None,
    ) -> None:
        self._say, self._together, self._weights = say, together, weights or {}
        self._wanted = 0
        self.stopped: list[str] = []

    async def write(self, name: str, prompt: Sequence[int], most: int) -> AsyncGenerator[Sequence[int], None]:
        self._wanted += 1
        ended = False
        try:
            while self._wanted < self._together:
                await asyncio.sleep(0.001)
            for token in itertools.islice(self._say(prompt), most):
                yield [token]
                await asyncio.sleep(0)
            ended = True
        finally:
            if not ended:
                self.stopped.append(name)

    async def weigh(self, name: str, ids: Sequence[int]) -> Sequence[float]:
        return [self._weights.get(token, 0.0) for token in ids[1:]]


def open_vllm(decoding: Decoding, weights: Path) -> VllmEngine:
    """The model of the folder that `weights` lie in. Raises `Unfit`."""
    folder = weights.parent
    try:
        longest = int(json.loads((folder / CONFIG).read_bytes())["max_position_embeddings"])
        return VllmEngine(decoding, longest, lambda: AsyncLlmEngine(folder, longest, decoding))
    except Exception as problem:
        raise Unfit(f"{weights.name} cannot be loaded: {type(problem).__name__}: {problem}") from None


def load(signature: ModelSignature, weights: Path) -> VllmEngine:
    """Raises `Unfit` when the folder cannot be loaded or is no language model's."""
    if signature.decoding is None:
        raise Unfit("serving.json: vllm serves language models only (decoding)")
    return open_vllm(signature.decoding, weights)
