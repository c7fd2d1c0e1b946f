"""The chat handler: a conversation from the files beside the model, and its answers over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from modelpack.server.engines.base import Arrays, Engine, TokenGenerator, TokenScorer
from modelpack.server.guardrails import Guardrails
from modelpack.server.handler import Respond
from modelpack.server.handlers.chat import orders
from modelpack.server.handlers.chat.conversation import Conversation, KnowledgeBase
from modelpack.server.handlers.chat.request import read_request
from modelpack.server.handlers.chat.respond import AnswerMetrics, respond
from modelpack.server.handlers.chat.worker import AnswerWorker
from modelpack.server.http.asgi import Request, Response
from modelpack.server.http.batch import Batcher
from modelpack.server.http.metrics import Metrics
from modelpack.server.signature import Unfit


class ChatFiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Files beside the model: what may be said to anyone, the table of the order tool, the model's tokenizer."""

    knowledge: str = "knowledge.json"
    orders: str = "orders.json"
    tokenizer: str = "tokenizer.json"


class ChatHandler:
    """Answers `/invocations` whole or piece by piece, as its conversation does."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation

    def run(self, feeds: Arrays) -> Arrays:
        """`question`, `customer`, `postal_code` -> `answer`, `route`, `tokens`. Raises InvalidInput."""
        return self.conversation.run(feeds)

    def responder(self, batcher: Batcher, metrics: Metrics, guardrails: Guardrails | None) -> Respond:
        worker, counted = AnswerWorker(self.conversation, batcher), AnswerMetrics(metrics, guardrails)

        async def answer(request: Request) -> Response:
            return await respond(request, worker, read_request(await request.json()), counted)

        return answer


def load(files: Mapping[str, str], folder: Path, engine: Engine) -> ChatHandler:
    """Raises `Unfit` for a file that is missing or damaged, and for a model that writes no text."""
    if not isinstance(engine, TokenGenerator):
        raise Unfit("serving.json: a conversation needs a language model (decoding)")
    names = msgspec.convert(dict(files), ChatFiles)
    try:
        knowledge = msgspec.json.decode((folder / names.knowledge).read_bytes(), type=KnowledgeBase)
        table = orders.read((folder / names.orders).read_bytes())
        tokenizer = (folder / names.tokenizer).read_bytes()
        score = engine.likelihood if isinstance(engine, TokenScorer) else None
        return ChatHandler(
            Conversation(knowledge, table, tokenizer, engine.tokens, engine.room, engine.at_once, score)
        )
    except (OSError, ValueError, ImportError, msgspec.MsgspecError) as problem:
        raise Unfit(f"{names.knowledge}, {names.orders}, {names.tokenizer}: {problem}") from None
