"""Golden answers that do not hang on rounding.

A greedy answer turns where the second-best token comes near the best. Here each step's margin (best logit less second,
in float32) is held against what another arithmetic does to logits: the same prompts through the same weights, weights
and what every layer takes and gives rounded to that arithmetic's bits. The greatest gain of any token of the whole
vocabulary on the best one, over all steps looked at, times `SAFETY` is the bound; an answer lasts when every step of it
is further ahead. The order in which a card adds up is not copied: that is what `SAFETY` is for.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from modelpack.errors import EcomdeployError
from modelpack.formats.signature import Arrays
from modelpack.language.llama import DecoderLayer, Llama
from modelpack.server.engines.decoder import NOTHING
from modelpack.usecases.chat import data as chat_data
from modelpack.usecases.chat.data import ChatData
from modelpack.usecases.chat.questions import Question

SAFETY = 2.0
ROUNDS, ENOUGH = 6, 3
"""So many questions of every kind are looked at, at most, until so many kinds have an answer that lasts."""
ARITHMETICS = {"float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass
class Choices:
    """Choices that were made: how many, the least `margin` of the best, the most that rounding gave another (`swing`);
    both in logits."""

    count: int = 0
    margin: float = math.inf
    swing: float = 0.0

    def add(self, exact: Tensor, rounded: Tensor) -> None:
        """Choices among the columns of `exact` (choices, things)."""
        if exact.shape[1] < 2:
            return
        best, second = exact.topk(2).values.T
        gained = rounded - exact
        gained = gained - gained.gather(1, exact.argmax(1, keepdim=True))
        self.count += len(exact)
        self.margin = min(self.margin, float((best - second).min()))
        self.swing = max(self.swing, float(gained.max()))


@dataclass
class Listener:
    """In the model's place: answers as it does in float32, and keeps what it was sure of by how much. Texts that it is
    asked to weigh against one another (`scored`) are one choice for each question."""

    exact: Llama
    rounded: Llama
    _wrote: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    _weighed: list[tuple[Tensor, int, float]] = field(default_factory=list)

    def run(self, feeds: Arrays) -> Arrays:
        """As the model's own loop."""
        counts = feeds.get("scored", np.zeros(len(feeds["ids"]), np.int64))
        answers = np.full((len(counts), self.exact.shape.most_new), NOTHING, np.int64)
        likelihood = np.zeros(len(counts), np.float32)
        for row, (ids, count) in enumerate(zip(feeds["ids"], counts.tolist(), strict=True)):
            given = torch.from_numpy(np.ascontiguousarray(ids[ids != NOTHING]))
            with torch.inference_mode():
                if count:
                    likelihood[row] = found = likely(self.exact, given, count)
                    self._weighed.append((given, count, found))
                else:
                    answers[row] = self.write_after(given)
        return {"tokens": answers, "likelihood": likelihood}

    def write_after(self, prompt: Tensor) -> Tensor:
        """The answer (most_new,), the logits of its tokens and of its end kept."""
        answer = self.exact.answer(prompt)
        said = answer[answer != NOTHING]
        ended = len(said) < min(self.exact.shape.most_new, self.exact.shape.longest - len(prompt))
        given = torch.cat([prompt, said])[: len(prompt) + len(said) - (not ended)]
        if wanted := len(said) + ended:
            self._wrote.append((given, logits(self.exact, given, wanted)))
        return answer

    def hear(self, question: Question, least: float) -> Heard:
        """How sure it was of that question since the last time. What rounding does is asked only where every margin is
        over `least`, for the others cannot be chosen any more."""
        written, weighed = Choices(), Choices()
        with torch.inference_mode():
            for _, exact in self._wrote:
                written.add(exact, exact)
            if written.count and written.margin > least:
                written = Choices()
                for given, exact in self._wrote:
                    written.add(exact, logits(self.rounded, given, len(exact)))
                pairs = [(found, likely(self.rounded, given, count)) for given, count, found in self._weighed]
                both = torch.tensor(pairs or [(0.0, 0.0)], dtype=torch.float64)
                weighed.add(both[None, :, 0], both[None, :, 1])
        self._wrote.clear()
        self._weighed.clear()
        return Heard(question, written, weighed)


@dataclass(frozen=True)
class Heard:
    """A question, and how sure the model was of what it wrote and what it weighed."""

    question: Question
    written: Choices
    weighed: Choices


def choose_lasting(
    model: Llama, data: ChatData, arithmetic: str, safety: float = SAFETY
) -> tuple[list[Question], Mapping[str, Any]]:
    """A question of every kind whose answer lasts in that arithmetic, where one was found; the bound, for the record.

    Raises EcomdeployError when there is none at all.
    """
    listener = Listener(model, as_in(model, ARITHMETICS[arithmetic]))
    talk, _ = chat_data.conversation(data, listener.run)
    heard: list[Heard] = []
    for number, asked in enumerate(rounds(data.asked)):
        for question in asked:
            plan = talk.plan(question.text, question.customer, question.postal_code)
            list(talk.pieces(plan))
            # the first round is measured whole, so that the bound rests on questions of every kind
            heard.append(listener.hear(question, find_bound(heard, safety) if number else 0.0))
        kept = lasting(heard, safety)
        if len(kept) >= ENOUGH:
            break
    if not kept:
        raise EcomdeployError(
            f"no answer of the language model is sure enough to hold in {arithmetic}: none of {len(heard)} is ahead by "
            f"{find_bound(heard, safety):.3f} in logits at every step",
            hint="serve it from a CPU: pack: {hardware: cpu}",
        )
    told = {
        "arithmetic": arithmetic,
        "bound": round(find_bound(heard, safety), 4),
        "least_margin": round(min(one.written.margin for one in kept), 4),
        "greatest_swing": round(max(one.written.swing for one in heard), 4),
        "safety": safety,
        "steps": sum(one.written.count for one in heard if one.written.swing > 0),
        "answers_looked_at": sum(one.written.count > 0 for one in heard),
        "answers_kept": len(kept),
    }
    return [one.question for one in kept], told


def rounds(asked: Sequence[Question]) -> list[list[Question]]:
    """The first question of every kind, then the second, and so on; `ROUNDS` at most."""
    kinds: dict[str, list[Question]] = {}
    for one in asked:
        kinds.setdefault(one.kind, []).append(one)
    return [
        [found[place] for found in kinds.values() if place < len(found)]
        for place in range(min(ROUNDS, max(map(len, kinds.values()), default=0)))
    ]


def find_bound(heard: Sequence[Heard], safety: float) -> float:
    """How far ahead a token must be."""
    return safety * max((one.written.swing for one in heard), default=0.0)


def lasting(heard: Sequence[Heard], safety: float) -> list[Heard]:
    """The surest of every kind whose least margin is over the bound, also that of what it weighed."""
    least, weighing = (
        find_bound(heard, safety),
        safety * max((one.weighed.swing for one in heard), default=0.0),
    )
    sure = [
        one
        for one in heard
        if one.written.count and one.written.margin > least and one.weighed.margin > weighing
    ]
    sure.sort(key=lambda one: one.written.margin)
    return list({one.question.kind: one for one in sure}.values())


def logits(model: Llama, ids: Tensor, wanted: int) -> Tensor:
    """What may follow each of the `wanted` last of `ids`, (wanted, vocabulary)."""
    hidden = model.words(ids)
    for layer, cache in zip(model.layers, model.empty(), strict=True):
        hidden = layer(hidden, 0, model.turns[: len(ids)], cache)
    return functional.linear(model.norm(hidden[-wanted:]), model.words.weight)


def likely(model: Llama, ids: Tensor, count: int) -> float:
    """The sum of the logarithms of how likely the last `count` of `ids` are after those before them."""
    found = logits(model, ids[:-1], count).double().log_softmax(dim=1)
    return float(found.gather(1, ids[-count:, None]).sum())


def as_in(model: Llama, arithmetic: torch.dtype) -> Llama:
    """A copy whose weights, and what its layers take and give, are rounded to `arithmetic`; sums stay in float32, as
    tensor cores keep them."""
    rough = copy.deepcopy(model)

    def round_off(value: Any) -> Any:
        return (
            value.to(arithmetic).to(value.dtype)
            if isinstance(value, Tensor) and value.is_floating_point()
            else value
        )

    for parameter in rough.parameters():
        parameter.data = round_off(parameter.data)
    for module in rough.modules():
        if isinstance(module, nn.Linear | nn.RMSNorm):
            module.register_forward_pre_hook(lambda _, given: tuple(map(round_off, given)))
        if isinstance(module, nn.Linear | nn.RMSNorm | nn.Embedding | DecoderLayer):
            module.register_forward_hook(lambda _, __, result: round_off(result))
    return rough
