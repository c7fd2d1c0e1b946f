"""Customer service: answers from the shop's policy, catalogue and orders by a small language model."""

from modelpack.usecases.chat.usecase import Chat

__all__ = ["Chat"]
