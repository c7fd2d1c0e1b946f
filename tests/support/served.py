"""The server's application in this process, over an engine that a test makes: requests without a socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np

from modelpack.server.app import Application
from modelpack.server.engines.base import Arrays, Engine
from modelpack.server.http.asgi import Message
from modelpack.server.http.limits import Limits
from modelpack.server.http.metrics import Metrics
from modelpack.server.ready import serve_engine
from modelpack.server.signature import ModelSignature, Tensor


@dataclass
class Remembering:
    """Gives back its inputs, and keeps what it was asked. Output names are `same_<input>`."""

    asked: list[Arrays] = field(default_factory=list)

    def run(self, feeds: Arrays) -> Arrays:
        self.asked.append(feeds)
        return {f"same_{name}": np.asarray(array) for name, array in feeds.items()}


def echo_signature(inputs: Sequence[Tensor], max_batch: int = 64) -> ModelSignature:
    """The signature of a model that gives back its inputs."""
    outputs = tuple(Tensor(f"same_{one.name}", one.datatype, one.shape) for one in inputs)
    return ModelSignature(1, "echo", "onnxruntime", "model.onnx", tuple(inputs), outputs, max_batch=max_batch)


def application(engine: Engine, signature: ModelSignature, limits: Limits | None = None) -> Application:
    """Ready to serve."""
    metrics, limits = Metrics(), limits or Limits()
    made = Application(metrics, limits)
    made.serve(serve_engine(engine, signature, "sha256:00", metrics, limits))
    return made


@contextlib.contextmanager
def application_for_a_while(engine: Engine, signature: ModelSignature) -> Iterator[Application]:
    """The same, whose thread ends with the block: for tests that make many."""
    made = Application(Metrics())
    model = serve_engine(engine, signature, "sha256:00", made.metrics, made.limits)
    made.serve(model)
    try:
        yield made
    finally:
        model.batcher.close()


@contextlib.asynccontextmanager
async def client_of(made: Application) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a network."""
    transport = httpx.ASGITransport(app=made, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://model", timeout=60) as client:
        yield client


def post(made: Application, path: str, body: bytes | object, **headers: str) -> httpx.Response:
    """One answer. Header names with `_` for `-`; what is not bytes is sent as JSON."""

    async def asked() -> httpx.Response:
        async with client_of(made) as client:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.post(path, content=content, headers=named)

    return asyncio.run(asked())


@dataclass
class Caller:
    """One request as an ASGI server hands it over; it leaves when `leave` is called."""

    body: bytes
    path: str = "/invocations"
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    sent: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._left = asyncio.Event()
        self.read = False

    def start(self, made: Application) -> asyncio.Task[None]:
        scope = {"type": "http", "method": "POST", "path": self.path, "headers": self.headers}
        return asyncio.create_task(made(scope, self._receive, self._send))

    def leave(self) -> None:
        self._left.set()

    @property
    def status(self) -> int | None:
        return self.sent[0]["status"] if self.sent else None

    def header(self, name: bytes) -> bytes | None:
        return dict(self.sent[0]["headers"]).get(name)

    async def _receive(self) -> Message:
        if not self.read:
            self.read = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)


async def until(true: Callable[[], Any]) -> None:
    """Let others on the loop go on until something holds."""
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.001)
