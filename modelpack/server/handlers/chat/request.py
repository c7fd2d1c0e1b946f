"""What callers of `/invocations` send."""

from __future__ import annotations

from typing import Annotated

import msgspec

from modelpack.server.handlers.chat.conversation import LONGEST_QUESTION
from modelpack.server.http.refusal import Refusal

MOST_QUESTIONS = 16
"""In one request; they are answered one after another."""


class ChatInstance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question; who asks may stand beside it."""

    question: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_QUESTION)]
    customer: str = ""
    postal_code: str = ""


class ChatRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body. With `stream` the answer comes as server-sent events; `max_tokens` shortens it."""

    instances: Annotated[list[ChatInstance], msgspec.Meta(min_length=1, max_length=MOST_QUESTIONS)]
    stream: bool = False
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None


_decode = msgspec.json.Decoder(ChatRequest).decode


def read_request(body: bytes) -> ChatRequest:
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
