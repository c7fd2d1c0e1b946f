"""Conversations over HTTP: one JSON answer, or server-sent events as the model writes.

Events: https://html.spec.whatwg.org/multipage/server-sent-events.html. Every event is one JSON object on a `data:`
line: `{"piece": text}` again and again, then `{"answer": all of it, "route": ..., "usage": {...}, "done": true}`, or
`{"error": why}` when it fails on the way. When the caller goes, the model stops after the token that it is at.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import numpy as np

from modelpack.server import log
from modelpack.server.guardrails import Guardrails
from modelpack.server.handlers.chat.request import ChatInstance, ChatRequest
from modelpack.server.handlers.chat.worker import AnswerWorker, ChatAnswer
from modelpack.server.http.asgi import Disconnected, Request, Response
from modelpack.server.http.metrics import Metrics

EVENTS = b"text/event-stream; charset=utf-8"
NOT_KEPT = (b"cache-control", b"no-cache")


class AnswerMetrics:
    """Tokens of conversations, how many callers went away, and answers on the wrong side, on the server's page."""

    def __init__(self, metrics: Metrics, guardrails: Guardrails | None) -> None:
        self._guardrails = guardrails
        self._tokens = metrics.counter(
            "ecomdeploy_tokens_total", "Tokens read (prompt) and written (answer).", "kind"
        )
        self._gone = metrics.counter(
            "ecomdeploy_cancelled_total", "Conversations whose caller went before the end."
        )

    def add_whole(self, said: ChatAnswer) -> None:
        """One conversation that came to its end."""
        self.add(said.usage.prompt_tokens, said.usage.completion_tokens, False)
        if self._guardrails is not None:
            answer, route = (np.array([text], dtype=object) for text in (said.answer, said.route))
            tokens = np.array([said.usage.completion_tokens])
            self._guardrails.look({}, {"answer": answer, "route": route, "tokens": tokens})

    def add(self, prompt: int, answer: int, gone: bool) -> None:
        """One conversation: tokens read and written, and whether the caller went before its end."""
        self._tokens.add(prompt, "prompt")
        self._tokens.add(answer, "answer")
        self._gone.add(int(gone))


async def respond(
    request: Request, worker: AnswerWorker, body: ChatRequest, metrics: AnswerMetrics
) -> Response:
    """All answers at once, or one as a stream. Raises `InvalidInput`, or `Disconnected` when the caller goes."""
    if not body.stream:
        return Response(200, await answers(request, worker, body, metrics))
    stream = await AnswerStream(request, worker, body, metrics).first()
    return Response(200, content_type=EVENTS, headers=[NOT_KEPT], stream=stream.events())


async def answers(request: Request, worker: AnswerWorker, body: ChatRequest, metrics: AnswerMetrics) -> bytes:
    """All answers as `{"predictions": [...]}`. Raises `InvalidInput`, or `Disconnected` when the caller goes."""
    said = [await _whole(request, worker, asked, body.max_tokens, metrics) for asked in body.instances]
    rows = [{"answer": one.answer, "route": one.route, "tokens": one.usage.completion_tokens} for one in said]
    return msgspec.json.encode({"predictions": rows})


async def _whole(
    request: Request, worker: AnswerWorker, asked: ChatInstance, most: int | None, metrics: AnswerMetrics
) -> ChatAnswer:
    last: str | ChatAnswer | None = None
    gone = threading.Event()
    async with _watch(request, gone):
        async for event in worker.ask(asked, most, gone):
            last = event
    if not isinstance(last, ChatAnswer):
        metrics.add(0, 0, True)
        raise Disconnected
    metrics.add_whole(last)
    return last


class AnswerStream:
    """An answer on its way. `first` waits for the first piece, so that a refusal is still a plain 400."""

    def __init__(
        self, request: Request, worker: AnswerWorker, body: ChatRequest, metrics: AnswerMetrics
    ) -> None:
        self._request, self._metrics = request, metrics
        self._gone = threading.Event()
        self._pieces = worker.ask(body.instances[0], body.max_tokens, self._gone)
        self._first: str | ChatAnswer | None = None

    async def first(self) -> AnswerStream:
        """Itself once the model has begun. Raises `InvalidInput`."""
        self._first = await anext(self._pieces, None)
        return self

    async def events(self) -> AsyncIterator[bytes]:
        """The events; they end early when the caller goes."""
        told, event = 0, self._first
        try:
            async with _watch(self._request, self._gone):
                while event is not None and not self._gone.is_set():
                    told += isinstance(event, str)
                    yield _event(event)
                    if isinstance(event, ChatAnswer):
                        self._metrics.add_whole(event)
                        return
                    event = await anext(self._pieces, None)
        except Exception as problem:
            log.say("stream failed", problem=repr(problem))
            yield _event({"error": "internal error, see the server's log"})
            return
        finally:
            self._gone.set()
            await self._pieces.aclose()
        self._metrics.add(0, told, True)


@contextlib.asynccontextmanager
async def _watch(request: Request, gone: threading.Event) -> AsyncIterator[None]:
    """While inside, `gone` is set as soon as the caller is."""

    async def watch() -> None:
        await request.await_disconnect()
        gone.set()

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


def _event(event: str | ChatAnswer | dict[str, Any]) -> bytes:
    data: Any = {"piece": event} if isinstance(event, str) else event
    if isinstance(event, ChatAnswer):
        data = {**msgspec.to_builtins(event), "done": True}
    return b"data: " + msgspec.json.encode(data) + b"\n\n"
