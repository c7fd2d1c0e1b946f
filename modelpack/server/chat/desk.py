"""Conversations between the event loop and the model's thread, piece by piece.

The thread asks before every token whether the caller is still there, so that nobody's answer is written for nobody.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import msgspec

from modelpack.server.chat.conversation import LONGEST_QUESTION, Conversation, Plan, Usage
from modelpack.server.http.batch import Batcher
from modelpack.server.http.refusal import Refusal

MOST_QUESTIONS = 16
"""In one request; they are answered one after another."""


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question; who asks may stand beside it."""

    question: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_QUESTION)]
    customer: str = ""
    postal_code: str = ""


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request to `/invocations`. With `stream` the answer comes as server-sent events; `max_tokens` shortens it."""

    instances: Annotated[list[Question], msgspec.Meta(min_length=1, max_length=MOST_QUESTIONS)]
    stream: bool = False
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None


class Said(msgspec.Struct, frozen=True):
    """A finished answer."""

    answer: str
    route: str
    usage: Usage


_decode = msgspec.json.Decoder(Body).decode


def read(body: bytes) -> Body:
    """Raises `Refusal` (400) with the place of what is wrong."""
    try:
        found = _decode(body)
    except msgspec.ValidationError as problem:
        raise Refusal(400, str(problem)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise Refusal(400, f"the body is not JSON: {problem}") from None
    if found.stream and len(found.instances) != 1:
        raise Refusal(400, "a stream answers one question; send one instance")
    return found


class Desk:
    """Takes questions from the event loop to the model's thread, and pieces of answers back. A model that answers
    several at once has as many threads."""

    def __init__(self, conversation: Conversation, batcher: Batcher) -> None:
        self._conversation = conversation
        self._begin: Callable[[Callable[[], None]], object] = batcher.alone
        if conversation.at_once > 1:
            self._begin = ThreadPoolExecutor(conversation.at_once, "answer").submit

    async def ask(
        self, asked: Question, most: int | None, gone: threading.Event
    ) -> AsyncGenerator[str | Said, None]:
        """The pieces of an answer, then the whole. It ends early when `gone` is set. Raises `InvalidInput`, or what
        the model raised."""
        loop, events = asyncio.get_running_loop(), asyncio.Queue[str | Said | Exception | None]()

        def tell(event: str | Said | Exception | None) -> None:
            loop.call_soon_threadsafe(events.put_nowait, event)

        self._begin(lambda: self._answer(asked, most, gone, tell))
        try:
            while (event := await events.get()) is not None:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            gone.set()

    def _answer(self, asked: Question, most: int | None, gone: threading.Event, tell: Any) -> None:
        """In the model's thread, or one of its own."""
        try:
            if gone.is_set():
                return
            plan, usage = self._conversation.plan(asked.question, asked.customer, asked.postal_code), Usage()
            said = self._pieces(plan, most, usage, gone, tell)
            if not gone.is_set():
                tell(Said(said, plan.route, usage))
        except Exception as problem:
            tell(problem)
        finally:
            tell(None)

    def _pieces(self, plan: Plan, most: int | None, usage: Usage, gone: threading.Event, tell: Any) -> str:
        said = []
        for piece in self._conversation.pieces(plan, most, usage):
            said.append(piece)
            # an empty one is no news, only a place to stop
            if piece:
                tell(piece)
            if gone.is_set():
                break
        return "".join(said)
