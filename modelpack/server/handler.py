"""A use case's own part of the server: it stands around the engine and answers `/invocations` in its own way.

`serving.json` names the module; it lies in the image of that use case only, and the server knows no more of it.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

from modelpack.server.engines.base import Arrays, Engine
from modelpack.server.guardrails import Guardrails
from modelpack.server.http.asgi import Request, Response
from modelpack.server.http.batch import Batcher
from modelpack.server.http.metrics import Metrics
from modelpack.server.signature import HandlerModule, Unfit

Respond = Callable[[Request], Awaitable[Response]]
"""What answers a request. Raises `Refusal`, `InvalidInput` or `Disconnected`."""


@runtime_checkable
class RequestHandler(Protocol):
    """An engine for golden requests and the Open Inference Protocol, which answers `/invocations` by itself."""

    def run(self, feeds: Arrays) -> Arrays:
        """As `Engine.run`, in the words of callers."""
        ...

    def responder(self, batcher: Batcher, metrics: Metrics, guardrails: Guardrails | None) -> Respond:
        """What answers POST `/invocations`, the model's thread being the batcher's, and shows each answer to the
        guardrails, if there are any. Called once."""
        ...


Load = Callable[[Mapping[str, str], Path, Engine], RequestHandler]
"""The module's `load(files, folder, engine)`: names of the files that it reads in the model's `folder`, and the engine
of the model file. Raises `Unfit`."""


def load_handler(wanted: HandlerModule, folder: Path, engine: Engine) -> RequestHandler:
    """Raises `Unfit` where the module is not in this image, or cannot stand around this engine."""
    try:
        load = cast("Load", importlib.import_module(wanted.module).load)
    except (ImportError, AttributeError) as problem:
        raise Unfit(f"serving.json: handler {wanted.module!r}: {problem}") from None
    return load(wanted.files, folder, engine)
