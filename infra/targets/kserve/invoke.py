"""One request at a door, as any client would send it, and its answer in parts."""

from __future__ import annotations

from collections.abc import Iterator

from infra.targets.base import Answer, Clock
from infra.targets.kserve.doors import SECONDS, Door
from modelpack.errors import EcomdeployError

IDENTITY = "X-Amzn-SageMaker-Custom-Attributes"
NO_ROUTE = 404
"""What gateways answer where a host has no route. A model's own 404 is JSON."""
NO_ANSWER = 504
"""What stands for an answer that did not come in time: the release's fault, as any other failed answer."""


def invoke(door: Door, host: str, body: bytes, content_type: str, clock: Clock) -> Answer:
    """The answer; an error of the model, or the gateway's where the model ended or was silent, is an answer, too.

    Raises:
        EcomdeployError: no gateway answers, or it knows no such host.
    """
    began = clock.now()
    try:
        with door.ask(host, body, content_type) as answer:
            data = b"".join(answer.parts)
    except EcomdeployError as error:
        if not isinstance(error.__cause__, TimeoutError):
            raise
        said = f"no answer within {SECONDS:g} s".encode()
        return Answer(status=NO_ANSWER, body=said, content_digest="", latency_ms=1000 * SECONDS)
    seconds = clock.now() - began
    if answer.status == NO_ROUTE and "json" not in answer.headers.get("Content-Type", ""):
        words = data[:200].decode(errors="replace").strip()
        raise EcomdeployError(f"{host} takes no requests: the gateway answered {answer.status} {words}")
    identity = answer.headers.get(IDENTITY, "")
    return Answer(status=answer.status, body=data, content_digest=identity, latency_ms=1000 * seconds)


def stream(door: Door, host: str, body: bytes, content_type: str) -> Iterator[bytes]:
    """The answer's parts as they come. EcomdeployError: the model refuses, the stream breaks, no gateway."""
    with door.ask(host, body, content_type) as answer:
        if answer.status != 200:
            text = b"".join(answer.parts)[:300].decode(errors="replace")
            raise EcomdeployError(f"the endpoint answered {answer.status}: {text}")
        yield from answer.parts
