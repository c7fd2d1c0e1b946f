"""From a question to an answer: refuse, ask who it is, or let the model answer from facts.

`plan` decides without the model, by rules that can be tested one by one; the model only words what the facts say.
What a caller writes never becomes a control token of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from modelpack.server.chat.orders import Orders, asked
from modelpack.server.chat.retrieval import Index, Scope
from modelpack.server.runtime import InvalidInput

ORDER, SHOP, REFUSED, IDENTIFY = "order", "shop", "refused", "identify"
"""Where an answer comes from: the order tool, policy and catalogue, or nowhere."""
MARKS = ("<|im_start|>", "<|im_end|>")
LONGEST_QUESTION = 2000
"""Letters."""


class Example(msgspec.Struct, frozen=True):
    """A question with its facts and a good answer, which the model is shown before every question."""

    facts: str
    question: str
    answer: str


class Shop(msgspec.Struct, frozen=True):
    """What the shop says: `sentences` of policy and catalogue, the `system` prompt, how many `facts` the model sees,
    the `vocabulary` and the `least` share of known words for a question to be answered, and what is said else."""

    sentences: tuple[str, ...]
    system: str
    facts: int
    vocabulary: tuple[str, ...]
    least: float
    refusal: str
    identify: str
    examples: tuple[Example, ...] = ()


class Plan(msgspec.Struct, frozen=True):
    """What will happen: `reply` is said as it stands; where it is empty the model answers `prompt`."""

    route: str
    reply: str = ""
    facts: tuple[str, ...] = ()
    prompt: tuple[int, ...] = ()


class Usage(msgspec.Struct):
    """Tokens read and written."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


Decode = Callable[[list[int], int | None], Iterable[int]]
"""A prompt and the most tokens wanted (None: the model's own bound) -> the answer's tokens as they come."""


class Conversation:
    """Answers questions: `at_once` of them at a time, each in a thread of its own where it is more than one."""

    def __init__(
        self, shop: Shop, orders: Orders, tokenizer: bytes, decode: Decode, room: int, at_once: int = 1
    ) -> None:
        """`room` is the most tokens of a prompt. Raises ValueError when `tokenizer` is none."""
        self.at_once = at_once
        import tokenizers

        try:
            self._words = tokenizers.Tokenizer.from_buffer(tokenizer)
        except Exception as problem:
            raise ValueError(f"not a tokenizer: {problem}") from None
        # "<|im_end|>" in a question is text like any other
        self._words.encode_special_tokens = True
        found = [self._words.token_to_id(mark) for mark in MARKS]
        self._begin, self._end = (0 if one is None else one for one in found)
        if None in found:
            raise ValueError(f"not a tokenizer of a chat model: it lacks one of {', '.join(MARKS)}")
        self._shop, self._orders, self._decode, self._room = shop, orders, decode, room
        self._index = Index(shop.sentences)
        self._scope = Scope(shop.vocabulary, shop.least)
        turns = [("system", shop.system)]
        for one in shop.examples:
            turns += [("user", from_facts(one.facts, one.question)), ("assistant", one.answer)]
        self.prefix = tuple(token for who, text in turns for token in self._turn(who, text))
        """What every prompt with facts begins with: the system's words and the examples."""

    def plan(self, question: str, customer: str = "", postal_code: str = "") -> Plan:
        """What will be done about a question. Raises InvalidInput."""
        if not question.strip():
            raise InvalidInput("the question is empty")
        if len(question) > LONGEST_QUESTION:
            raise InvalidInput(
                f"the question has {len(question)} letters; at most {LONGEST_QUESTION} are read"
            )
        wanted = asked(question, customer, postal_code)
        if wanted.order:
            found = self._orders.look_up(wanted)
            if found is None:
                return Plan(IDENTIFY, self._shop.identify)
            return self._from_facts(
                ORDER, question, Index(found).best(question, self._shop.facts) or found[:1]
            )
        facts = self._index.best(question, self._shop.facts)
        if not facts or not self._scope.holds(question):
            return Plan(REFUSED, self._shop.refusal)
        return self._from_facts(SHOP, question, facts)

    def _from_facts(self, route: str, question: str, facts: Iterable[str]) -> Plan:
        kept = tuple(facts)
        prompt = self.prompt(question, kept)
        if len(prompt) > self._room:
            raise InvalidInput(f"question and facts have {len(prompt)} tokens; at most {self._room} are read")
        return Plan(route, facts=kept, prompt=prompt)

    def prompt(self, question: str, facts: tuple[str, ...] = ()) -> tuple[int, ...]:
        """The tokens before an answer, in SmolLM2's chat template. Without facts the examples are left out too."""
        before = self.prefix if facts else self._turn("system", self._shop.system)
        asking = from_facts(" ".join(facts), question) if facts else question
        return (*before, *self._turn("user", asking), self._begin, *self._ids("assistant\n"))

    def _turn(self, who: str, text: str) -> tuple[int, ...]:
        return (self._begin, *self._ids(f"{who}\n{text}"), self._end, *self._ids("\n"))

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._words.encode(text, add_special_tokens=False).ids
        return ids

    def pieces(self, plan: Plan, most: int | None = None, usage: Usage | None = None) -> Iterator[str]:
        """The answer's text as it comes; `usage` is filled in on the way."""
        from tokenizers.decoders import DecodeStream

        if plan.reply:
            yield plan.reply
            return
        told = usage if usage is not None else Usage()
        told.prompt_tokens = len(plan.prompt)
        stream, begun = DecodeStream(skip_special_tokens=True), False
        for token in self._decode(list(plan.prompt), most):
            told.completion_tokens += 1
            piece = stream.step(self._words, token) or ""
            piece = piece if begun else piece.lstrip()
            if piece:
                begun = True
                yield piece

    def run(self, feeds: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """`question`, `customer`, `postal_code` (rows,) -> `answer`, `route`, `tokens` (rows,). Raises InvalidInput."""
        columns = [feeds[name].tolist() for name in ("question", "customer", "postal_code")]
        answers, routes, counts = [], [], []
        for question, customer, postal_code in zip(*columns, strict=True):
            plan, usage = self.plan(question, customer, postal_code), Usage()
            answers.append("".join(self.pieces(plan, None, usage)))
            routes.append(plan.route)
            counts.append(usage.completion_tokens)
        return {
            "answer": np.array(answers, np.object_),
            "route": np.array(routes, np.object_),
            "tokens": np.array(counts, np.int64),
        }


def from_facts(facts: str, question: str) -> str:
    """What the model is asked."""
    return f"Facts: {facts}\nQuestion: {question}"
