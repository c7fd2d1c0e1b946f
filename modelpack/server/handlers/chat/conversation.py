"""From a question to an answer: refuse, ask who it is, or let the model answer from facts.

`plan` decides without the model, by rules that can be tested one by one. The model then chooses: of the sentences that
retrieval found, the one that makes the question most likely (query likelihood: Ponte & Croft, SIGIR 1998; by a language
model that reads the sentence first: Sachan et al., arXiv:2204.07496). It words that one, and what it writes is held
against it. What a caller writes never becomes a control token of the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from modelpack.server.engines.base import InvalidInput
from modelpack.server.handlers.chat.grounding import check_pieces
from modelpack.server.handlers.chat.orders import Orders, find_order
from modelpack.server.handlers.chat.retrieval import Scope, SentenceIndex

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


class KnowledgeBase(msgspec.Struct, frozen=True):
    """What the shop says: `sentences` of policy and catalogue, the `system` prompt, of how many `facts` the model
    chooses, the `vocabulary` and the `least` share of known words for a question to be answered, and what else is
    said."""

    sentences: tuple[str, ...]
    system: str
    facts: int
    vocabulary: tuple[str, ...]
    least: float
    refusal: str
    identify: str
    examples: tuple[Example, ...] = ()


class ReplyPlan(msgspec.Struct, frozen=True):
    """What will happen: `reply` is said as it stands; where it is empty the model answers from one of `facts`, each
    with its prompt, best first as far as retrieval tells."""

    route: str
    reply: str = ""
    facts: tuple[str, ...] = ()
    prompts: tuple[tuple[int, ...], ...] = ()

    @property
    def prompt(self) -> tuple[int, ...]:
        """The first prompt; empty where the model does not answer."""
        return self.prompts[0] if self.prompts else ()


class Usage(msgspec.Struct):
    """Tokens read, in choosing too, and written."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


Decode = Callable[[list[int], int | None], Iterable[int]]
"""A prompt and the most tokens wanted (None: the model's own bound) -> the answer's tokens as they come."""
Likelihood = Callable[[list[int], int], float]
"""Tokens, and how many of the last of them are asked about -> the sum of the logarithms of their likelihoods."""


class Conversation:
    """Answers questions: `at_once` of them at a time, each in a thread of its own where it is more than one."""

    def __init__(
        self,
        knowledge: KnowledgeBase,
        orders: Orders,
        tokenizer: bytes,
        decode: Decode,
        room: int,
        at_once: int = 1,
        likelihood: Likelihood | None = None,
    ) -> None:
        """`room` is the most tokens of a prompt. Without `likelihood` retrieval's best sentence is taken. Raises
        ValueError when `tokenizer` is none."""
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
        self._knowledge, self._orders, self._decode, self._room = knowledge, orders, decode, room
        self._likelihood = likelihood
        self._index = SentenceIndex(knowledge.sentences)
        self._scope = Scope(knowledge.vocabulary, knowledge.least)
        turns = [("system", knowledge.system)]
        for one in knowledge.examples:
            turns += [("user", from_facts(one.facts, one.question)), ("assistant", one.answer)]
        self._answering = (self._end, *self._ids("\n"), self._begin, *self._ids("assistant\n"))
        self.prefix = tuple(token for who, text in turns for token in self._turn(who, text))
        """What every prompt with facts begins with: the system's words and the examples."""

    def plan(self, question: str, customer: str = "", postal_code: str = "") -> ReplyPlan:
        """What will be done about a question. Raises InvalidInput."""
        if not question.strip():
            raise InvalidInput("the question is empty")
        if len(question) > LONGEST_QUESTION:
            raise InvalidInput(
                f"the question has {len(question)} letters; at most {LONGEST_QUESTION} are read"
            )
        wanted = find_order(question, customer, postal_code)
        if wanted.order:
            found = self._orders.look_up(wanted)
            if found is None:
                return ReplyPlan(IDENTIFY, self._knowledge.identify)
            return self._from_facts(
                ORDER, question, SentenceIndex(found).best(question, self._knowledge.facts) or found[:1]
            )
        facts = self._index.best(question, self._knowledge.facts)
        if not facts or not self._scope.holds(question):
            return ReplyPlan(REFUSED, self._knowledge.refusal)
        return self._from_facts(SHOP, question, facts)

    def _from_facts(self, route: str, question: str, facts: Iterable[str]) -> ReplyPlan:
        kept = tuple(facts)
        prompts = tuple(self.prompt(question, (fact,)) for fact in kept)
        if (longest := max(map(len, prompts))) > self._room:
            raise InvalidInput(f"question and facts have {longest} tokens; at most {self._room} are read")
        return ReplyPlan(route, facts=kept, prompts=prompts)

    def prompt(self, question: str, facts: tuple[str, ...] = ()) -> tuple[int, ...]:
        """The tokens before an answer, in SmolLM2's chat template. Without facts the examples are left out too."""
        before = self.prefix if facts else self._turn("system", self._knowledge.system)
        asking = from_facts(" ".join(facts), question) if facts else question
        return (*before, self._begin, *self._ids(f"user\n{asking}"), *self._answering)

    def _turn(self, who: str, text: str) -> tuple[int, ...]:
        return (self._begin, *self._ids(f"{who}\n{text}"), self._end, *self._ids("\n"))

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._words.encode(text, add_special_tokens=False).ids
        return ids

    def pieces(self, plan: ReplyPlan, most: int | None = None, usage: Usage | None = None) -> Iterator[str]:
        """The answer's text as it comes, with empty pieces while there is nothing to tell; `usage` is filled in."""
        if plan.reply:
            yield plan.reply
            return
        told, best, highest = usage if usage is not None else Usage(), 0, -math.inf
        for place, likelihood in enumerate(self._likelihoods(plan, told)):
            best, highest = max((best, highest), (place, likelihood), key=lambda pair: pair[1])
            yield ""
        written = self._write(plan.prompts[best], most, told)
        if not plan.facts:
            yield from written
            return
        whole = plan.facts[best]
        fallback = whole if most is None else self._words.decode(self._ids(whole)[:most])
        yield from check_pieces(written, whole, fallback)

    def _likelihoods(self, plan: ReplyPlan, told: Usage) -> Iterator[float]:
        """How likely every fact makes the question, where there is a choice."""
        if self._likelihood is None or len(plan.facts) < 2:
            return
        for fact, prompt in zip(plan.facts, plan.prompts, strict=True):
            before = (*self.prefix, self._begin, *self._ids(f"user\n{from_facts(fact, '')}".rstrip(" ")))
            reading = list(prompt[: -len(self._answering)])
            told.prompt_tokens += len(reading)
            yield self._likelihood(reading, len(reading) - len(before))

    def _write(self, prompt: tuple[int, ...], most: int | None, told: Usage) -> Iterator[str]:
        """What the model writes, piece by piece."""
        from tokenizers.decoders import DecodeStream

        told.prompt_tokens += len(prompt)
        stream, begun = DecodeStream(skip_special_tokens=True), False
        for token in self._decode(list(prompt), most):
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
