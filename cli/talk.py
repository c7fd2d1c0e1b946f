"""A model that answers in text: printed as it comes on a terminal, whole anywhere else."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cli import show
from modelpack.errors import EcomdeployError

if TYPE_CHECKING:
    from infra.targets.base import Traffic


def as_it_comes(traffic: Traffic, endpoint: str, body: Mapping[str, Any]) -> float:
    """Ask, print the pieces of the answer on stdout, then where it comes from; how long it took, in ms."""
    began, first, last = time.monotonic(), 0.0, {}
    show.write("  ")
    for event in events(traffic.stream(endpoint, json.dumps({**body, "stream": True}).encode())):
        if "error" in event:
            raise EcomdeployError(f"the model stopped: {event['error']}")
        if "piece" in event:
            first = first or time.monotonic() - began
            show.write(event["piece"])
        else:
            last = event
    show.say()
    tokens = int(last.get("usage", {}).get("completion_tokens", 0))
    show.say(
        f"  ({source(str(last.get('route', '')))}; {tokens} tokens, the first after {1000 * first:.0f} ms)"
    )
    return 1000 * (time.monotonic() - began)


def whole(predictions: Iterable[Mapping[str, Any]]) -> None:
    """Finished answers for a person."""
    for row in predictions:
        show.say(f"  {row.get('answer', '')}")
        show.say(f"  ({source(str(row.get('route', '')))}; {row.get('tokens', 0)} tokens)")


def source(route: str) -> str:
    """Where an answer comes from, in words."""
    return {
        "order": "from the order",
        "shop": "from policy and catalogue",
        "refused": "not a question for this shop",
        "identify": "orders are told to their own customer only",
    }.get(route, route)


def events(parts: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The JSON objects of server-sent events, however the parts cut them."""
    held = b""
    for part in parts:
        held += part
        *ready, held = held.split(b"\n\n")
        yield from (
            json.loads(event.removeprefix(b"data: ")) for event in ready if event.startswith(b"data: ")
        )


def on_a_terminal() -> bool:
    """Whether a person watches."""
    return sys.stdout.isatty()
