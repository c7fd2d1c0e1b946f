"""A conversation from the files beside the model."""

from __future__ import annotations

from pathlib import Path

import msgspec

from modelpack.server.chat import orders
from modelpack.server.chat.conversation import Conversation, Shop
from modelpack.server.engines.base import Engine, TokenGenerator, TokenScorer
from modelpack.server.signature import Chat, Unfit


def conversation(chat: Chat, folder: Path, engine: Engine) -> Conversation:
    """Raises `Unfit` for a file that is missing or damaged, and for a model that writes no text."""
    if not isinstance(engine, TokenGenerator):
        raise Unfit("serving.json: chat needs a language model (decoding)")
    try:
        shop = msgspec.json.decode((folder / chat.shop).read_bytes(), type=Shop)
        table = orders.read((folder / chat.orders).read_bytes())
        tokenizer = (folder / chat.tokenizer).read_bytes()
        read = engine.likelihood if isinstance(engine, TokenScorer) else None
        return Conversation(shop, table, tokenizer, engine.tokens, engine.room, engine.at_once, read)
    except (OSError, ValueError, ImportError, msgspec.MsgspecError) as problem:
        raise Unfit(f"{chat.shop}, {chat.orders}, {chat.tokenizer}: {problem}") from None
