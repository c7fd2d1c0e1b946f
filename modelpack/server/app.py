"""The ASGI application: routes and error answers. No framework: it would cost more than the model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from modelpack.server import log
from modelpack.server.engines.base import Arrays, InvalidInput
from modelpack.server.handler import Respond
from modelpack.server.http import binary_tensors, media, openinference, sagemaker
from modelpack.server.http.admission import Admission
from modelpack.server.http.asgi import JSON, Disconnected, Message, Receive, Request, Response, Send
from modelpack.server.http.aside import aside
from modelpack.server.http.limits import Limits
from modelpack.server.http.metrics import CONTENT_TYPE, Metrics
from modelpack.server.http.refusal import Headers, Refusal
from modelpack.server.http.tensors import check_values, count_bytes
from modelpack.server.http.waiting import await_answer
from modelpack.server.ready import ReadyModel

MODELS = "/v2/models/"
CLIENT_GONE = 499
"""In the metrics, where a caller went before it was answered (nginx's word for it)."""


class Application:
    """Answers 503 until `serve` is called."""

    def __init__(self, metrics: Metrics, limits: Limits | None = None) -> None:
        self.metrics = metrics
        self.limits = limits or Limits()
        self._admission = Admission(self.limits)
        self._refusals = log.RefusalLog()
        self._served: ReadyModel | None = None
        self._identity: Headers = []
        self._handlers: dict[str, Respond] = {
            "/invocations": self._invocations,
            "/ping": self._ping,
            "/metrics": self._metrics,
            "/v2": self._server,
            "/v2/health/live": self._live,
            "/v2/health/ready": self._health,
        }
        self._model_handlers: dict[str, tuple[str, Respond]] = {
            "infer": (f"{MODELS}{{model}}/infer", self._infer),
            "ready": (f"{MODELS}{{model}}/ready", self._model_ready),
        }

    def serve(self, served: ReadyModel) -> None:
        """Be ready from now on. Called from another thread: the last assignment makes it visible."""
        self._identity = [(sagemaker.CUSTOM_ATTRIBUTES, served.content_digest.encode())]
        self._served = served

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive, self.limits)
        try:
            await self._respond(request, send)
        finally:
            if request.share is not None:
                request.share.leave()

    async def _respond(self, request: Request, send: Send) -> None:
        started = time.perf_counter()
        route, handler = self._find(request.path)
        try:
            answer = await self._answer(request, route, handler)
        except Disconnected:
            self.metrics.request(route, CLIENT_GONE, time.perf_counter() - started)
            return
        headers = [(b"content-type", answer.content_type), *answer.headers]
        if answer.stream is not None:
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            async for piece in answer.stream:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
            self.metrics.request(route, answer.status, time.perf_counter() - started)
            return
        self.metrics.request(route, answer.status, time.perf_counter() - started)
        headers.append((b"content-length", str(len(answer.body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else answer.body})

    def _find(self, path: str) -> tuple[str, Respond]:
        """The route's pattern (for the metrics) and what answers it."""
        handler = self._handlers.get(path)
        if handler is not None:
            return path, handler
        if path.startswith(MODELS):
            return self._model_handlers.get(path.rpartition("/")[2], (f"{MODELS}{{model}}", self._metadata))
        return "other", self._unknown

    async def _answer(self, request: Request, route: str, handler: Respond) -> Response:
        try:
            try:
                return await handler(request)
            except InvalidInput as problem:
                raise Refusal(400, f"the model refused the input: {problem}") from None
        except Refusal as refusal:
            self._refusals.say(refusal.status, route, refusal.reason)
            return _refuse(refusal)
        except Disconnected:
            raise
        except Exception as problem:
            log.say("request failed", path=request.path[:200], problem=repr(problem))
            return _json({"error": "internal error, see the server's log"}, 500)

    def _ready(self) -> ReadyModel:
        if self._served is None:
            raise Refusal(503, "not ready yet")
        return self._served

    # ---- SageMaker ----

    async def _ping(self, request: Request) -> Response:
        request.allow("GET", "HEAD")
        return Response(200 if self._served else 503, b"")

    async def _invocations(self, request: Request) -> Response:
        served = self._ready()
        request.share = self._admission.enter()
        if served.respond is not None:
            answer = await served.respond(request)
            answer.headers += self._identity
            return answer
        asked_as, body = await request.body(media.TAKEN)
        kind = media.choose(request.header(b"accept"), asked_as)
        feeds, rows = await aside(len(body), media.decode, served.instances, asked_as, body)
        outputs, size = await self._outputs(request, served, feeds, rows)
        return Response(200, await aside(size, media.encode, kind, outputs), kind, list(self._identity))

    async def _outputs(
        self, request: Request, served: ReadyModel, feeds: Arrays, rows: int, wanted: Sequence[str] = ()
    ) -> tuple[Arrays, int]:
        """The wanted outputs (all, when none are named), and how many values they have. Raises `Refusal`,
        `InvalidInput` or `Disconnected`."""
        request.hold(count_bytes(feeds))
        outputs = await await_answer(served.batcher.submit(feeds, rows), request)
        outputs = {name: outputs[name] for name in wanted or outputs}
        size = sum(output.size for output in outputs.values())
        check_values(size, self.limits, "the answer would have")
        return outputs, size

    # ---- Open Inference Protocol v2 ----

    async def _server(self, request: Request) -> Response:
        request.allow("GET", "HEAD")
        return _json(
            {"name": "ecomdeploy", "version": openinference.VERSION, "extensions": [binary_tensors.EXTENSION]}
        )

    async def _live(self, request: Request) -> Response:
        request.allow("GET", "HEAD")
        return _json({"live": True})

    async def _health(self, request: Request) -> Response:
        request.allow("GET", "HEAD")
        return _json({"ready": self._served is not None}, 200 if self._served else 503)

    async def _infer(self, request: Request) -> Response:
        served = self._ready()
        _check_model(request.path, served.signature.model, "infer")
        request.share = self._admission.enter()
        _, body = await request.body((JSON, binary_tensors.OCTETS))
        header = request.header(binary_tensors.HEADER_LENGTH)
        asked, feeds, rows = await aside(len(body), served.bodies.decode, body, header)
        wanted = [one.name for one in asked.outputs or ()]
        outputs, size = await self._outputs(request, served, feeds, rows, wanted)
        text, ends = await aside(size, served.bodies.encode, asked, outputs)
        if not ends:
            return Response(200, text, headers=self._identity)
        headers = [*self._identity, (binary_tensors.HEADER_LENGTH, str(ends).encode())]
        return Response(200, text, binary_tensors.OCTETS, headers)

    async def _model_ready(self, request: Request) -> Response:
        request.allow("GET", "HEAD")
        served = self._ready()
        _check_model(request.path, served.signature.model, "ready")
        return _json({"name": served.signature.model, "ready": True})

    async def _metadata(self, request: Request) -> Response:
        request.allow("GET", "HEAD")
        served = self._ready()
        _check_model(request.path, served.signature.model, "")
        return Response(200, openinference.metadata(served.signature, served.content_digest, served.hardware))

    # ---- the rest ----

    async def _metrics(self, request: Request) -> Response:
        request.allow("GET", "HEAD")
        served = self._served
        model, identity = (served.signature.model, served.content_digest) if served else ("", "")
        text = self.metrics.text(model, identity, served is not None)
        return Response(200, text, CONTENT_TYPE.encode())

    async def _unknown(self, request: Request) -> Response:
        raise Refusal(404, f"no such path: {request.path[:200]}")


def _refuse(refusal: Refusal) -> Response:
    document: dict[str, Any] = {"error": refusal.reason}
    headers = list(refusal.headers)
    if refusal.retry_after:
        document["retry_after"] = refusal.retry_after
        headers.append((b"retry-after", str(refusal.retry_after).encode()))
    return Response(refusal.status, msgspec.json.encode(document), headers=headers)


def _json(document: Any, status: int = 200) -> Response:
    return Response(status, msgspec.json.encode(document))


def _check_model(path: str, model: str, action: str) -> None:
    """Raises `Refusal` (404) unless the path is `/v2/models/<model>[/versions/<version>][/<action>]`."""
    name, *rest = path.removeprefix(MODELS).split("/")
    if name != model:
        raise Refusal(404, f"unknown model {name[:200]!r}; this server has {model!r}")
    if rest[:1] == ["versions"]:
        if rest[1:2] != [openinference.VERSION]:
            raise Refusal(404, f"unknown version; model {model!r} has version {openinference.VERSION!r}")
        rest = rest[2:]
    if rest != ([action] if action else []):
        raise Refusal(404, f"no such path: {path[:200]}")
