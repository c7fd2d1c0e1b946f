"""The use case chat around a tiny shop and a tiny language model."""

from __future__ import annotations

import pathlib

import tiny_chat
from tiny_chat import MINE, OWNER

from modelpack.home import Home
from modelpack.progress import Progress, Silent
from modelpack.server.signature import Decoding
from modelpack.usecases.chat import data as chat_data
from modelpack.usecases.chat.data import ChatData
from modelpack.usecases.chat.questions import Question
from modelpack.usecases.chat.usecase import MOST_NEW, Chat, nothing

STATUS = f"What is the status of {MINE}?"
ASKED = (
    Question(STATUS, "order status", "ann", ("pending",), (), **OWNER),
    Question("What does the kettle cost?", "price", "kettle", ("30.50",)),
)


class TinyChat(Chat):
    """The use case around a tiny shop."""

    turns = 3

    def prepare(self, home: Home, progress: Progress) -> ChatData:
        data = ChatData(
            knowledge=tiny_chat.KNOWLEDGE,
            orders=tiny_chat.orders(),
            tokenizer=tiny_chat.tokenizer(),
            weights=pathlib.Path(),
            asked=ASKED,
            inside=("the kettle", "the lamp"),
            outside=("sing of the moon", "a kettle"),
            room=300,
            progress=Silent(),
        )
        talk, _ = chat_data.conversation(data, nothing)
        self.decoding = Decoding(end=tiny_chat.END, most_new=MOST_NEW, ahead=4, prefix=talk.prefix)
        return data
