"""Conversations between the event loop and the model's thread, piece by piece.

The thread asks before every token whether the caller is still there, so that nobody's answer is written for nobody.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from modelpack.server.handlers.chat.conversation import Conversation, ReplyPlan, Usage
from modelpack.server.handlers.chat.request import ChatInstance
from modelpack.server.http.batch import Batcher, hand_over


class ChatAnswer(msgspec.Struct, frozen=True):
    """A finished answer."""

    answer: str
    route: str
    usage: Usage


class AnswerWorker:
    """Takes questions from the event loop to the model's thread, and pieces of answers back. A model that answers
    several at once has as many threads."""

    def __init__(self, conversation: Conversation, batcher: Batcher) -> None:
        self._conversation = conversation
        self._begin: Callable[[Callable[[], None]], object] = batcher.alone
        if conversation.at_once > 1:
            self._begin = ThreadPoolExecutor(conversation.at_once, "answer").submit

    async def ask(
        self, asked: ChatInstance, most: int | None, gone: threading.Event
    ) -> AsyncGenerator[str | ChatAnswer, None]:
        """The pieces of an answer, then the whole. It ends early when `gone` is set. Raises `InvalidInput`, or what
        the model raised."""
        loop, events = asyncio.get_running_loop(), asyncio.Queue[str | ChatAnswer | Exception | None]()

        def tell(event: str | ChatAnswer | Exception | None) -> None:
            hand_over(loop, events.put_nowait, event)

        self._begin(lambda: self._answer(asked, most, gone, tell))
        try:
            while (event := await events.get()) is not None:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            gone.set()

    def _answer(self, asked: ChatInstance, most: int | None, gone: threading.Event, tell: Any) -> None:
        """In the model's thread, or one of its own."""
        try:
            if gone.is_set():
                return
            plan, usage = self._conversation.plan(asked.question, asked.customer, asked.postal_code), Usage()
            said = self._pieces(plan, most, usage, gone, tell)
            if not gone.is_set():
                tell(ChatAnswer(said, plan.route, usage))
        except Exception as problem:
            tell(problem)
        finally:
            tell(None)

    def _pieces(
        self, plan: ReplyPlan, most: int | None, usage: Usage, gone: threading.Event, tell: Any
    ) -> str:
        said = []
        for piece in self._conversation.pieces(plan, most, usage):
            said.append(piece)
            # an empty one is no news, only a place to stop
            if piece:
                tell(piece)
            if gone.is_set():
                break
        return "".join(said)
