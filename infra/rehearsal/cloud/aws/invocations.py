"""sagemaker-runtime's InvokeEndpoint: the way from a client's request to the model server that answers it.

Source: API_runtime_InvokeEndpoint (documented); the texts of errors are recorded (SageMaker examples #293, #4324).
A route is replaced as a whole, so every request sees either the old servers or the new ones; old servers are
stopped when the last request on them has ended.
"""

from __future__ import annotations

import json
import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4

from infra.rehearsal.cloud.addresses import ACCOUNT, REGION
from infra.rehearsal.cloud.aws.calls import SCOPE, Environ, HttpResponse, body, line
from infra.rehearsal.cloud.aws.faults import spoil
from infra.rehearsal.cloud.aws.streaming import CONTENT_TYPE, StreamedResponse
from infra.rehearsal.cloud.aws.watching.invocation_metrics import InvocationMetrics, Served
from infra.rehearsal.cloud.aws.watching.logged_metrics import LoggedMetrics
from infra.rehearsal.cloud.servers.connections import (
    SECONDS,
    ServerAnswer,
    ServerConnections,
    TooLate,
    Unreachable,
)
from infra.rehearsal.cloud.servers.copies import RequestCopies
from infra.rehearsal.cloud.servers.host import ModelServer, connect_here

INVOCATION = re.compile(r"/endpoints/(?P<endpoint>[^/]+)/invocations(?P<stream>-response-stream)?")
PASSED_ON = {
    "HTTP_ACCEPT": "Accept",
    "HTTP_X_AMZN_SAGEMAKER_ACCEPT": "Accept",
    "CONTENT_TYPE": "Content-Type",
}
CUSTOM = "X-Amzn-SageMaker-Custom-Attributes"


@dataclass(frozen=True, kw_only=True)
class WeightedServer:
    """One variant's server and its share of the traffic. `wrong`: a planted fault spoils its answers. `configuration`
    and `instances` are for its metrics; `new`: of the fleet that an update is on its way to; `full`: its weight there.
    `shadow`: it gets copies of its fleet's requests, and nobody its answers; its weight is their share.
    """

    variant: str
    weight: float
    server: ModelServer
    wrong: bool = False
    configuration: str = ""
    instances: int = 1
    new: bool = False
    full: float = 1.0
    shadow: bool = False


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A request and its answer, each with its content type."""

    request: tuple[str, bytes]
    answer: tuple[str, bytes]


Servers = tuple[WeightedServer, ...]
Key = tuple[str, str]
"""Region and endpoint name."""


@dataclass
class Invocations:
    """Thread-safe; nothing here takes the account's lock."""

    metrics: InvocationMetrics = field(default_factory=InvocationMetrics)
    logged: LoggedMetrics = field(init=False)
    """What servers wrote of themselves into their logs."""
    lost: Callable[[Key, ModelServer], None] = lambda key, server: None
    """Told of a server that does not answer any more; set by the emulated SageMaker, which replaces it."""
    capture: Callable[[Key, WeightedServer, Exchange], None] = lambda key, way, exchange: None
    """Told of every request that a variant has answered whole; set by the emulated SageMaker, which keeps some."""
    connect: Callable[[ModelServer], socket.socket] = connect_here
    """Makes a connection to a server; set to the host's own way."""
    copies: RequestCopies = field(default_factory=RequestCopies)
    _routes: dict[Key, Servers] = field(default_factory=dict)
    _busy: Counter[str] = field(default_factory=Counter)
    _kept: dict[str, ServerConnections] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.logged = LoggedMetrics(self.metrics.clock)

    def routes(self) -> dict[Key, Servers]:
        """Where all endpoints' requests go now."""
        with self._changed:
            return dict(self._routes)

    def route(self, key: Key) -> Servers:
        """Where an endpoint's requests go now; empty when nowhere."""
        return self._routes.get(key, ())

    def flip(self, key: Key, route: Servers) -> None:
        """From now on requests take this route; an empty one ends the endpoint."""
        with self._changed:
            if route:
                self._routes[key] = route
            else:
                self._routes.pop(key, None)

    def drain(self, server: ModelServer, seconds: float = SECONDS) -> bool:
        """Wait until no request is on the server; False when some still is after `seconds`."""
        with self._changed:
            ended = self._changed.wait_for(lambda: not self._busy[server.id], seconds)
            del self._busy[server.id]
            kept = self._kept.pop(server.id, None)
        if kept:
            kept.close()
        return ended

    def invoke(
        self, endpoint: str, environ: Environ, stream: bool = False
    ) -> HttpResponse | StreamedResponse:
        """Answer InvokeEndpoint; with `stream` InvokeEndpointWithResponseStream, where the server counts as busy until
        the stream has ended."""
        received = time.perf_counter()
        scope = SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
        key = (scope[1] if scope else REGION, endpoint)
        wanted = environ.get("HTTP_X_AMZN_SAGEMAKER_TARGET_VARIANT", "")
        with self._changed:
            route = self._routes.get(key, ())
            way = _choose(route, wanted)
            if way:
                self._busy[way.server.id] += 1
        if way is None:
            return _refuse_unknown(endpoint, wanted if self.route(key) else "")
        by, request = _name_server(key, way), _pass_on(environ)
        for shadow in route:
            if shadow.shadow and shadow.configuration == way.configuration:
                share = shadow.full / way.full if way.full else 0.0
                self.copies.send(share, partial(self.ask_shadow, key, shadow, *request))
        began, streamed = time.perf_counter(), None
        try:
            found = self._post(way.server, *request)
            status, headers = found.status, found.headers
            if stream and status < 400:
                streamed = _stream(way, found, lambda: self._free(way.server))
            else:
                data = found.read()
        except TooLate:
            status, headers, data = 504, {}, b"the model did not answer within 60 s"
        except Unreachable:
            self.metrics.add(by, 503, time.perf_counter() - began, began - received)
            self.lost(key, way.server)
            return _error(503, "ServiceUnavailable", {"Message": "The service is currently unavailable."})
        finally:
            if streamed is None:
                self._free(way.server)
        ended = time.perf_counter()
        if streamed is not None:
            answer: HttpResponse | StreamedResponse = streamed
        elif status >= 400:
            answer = _model_error(key, status, data)
        else:
            data = spoil(data) if way.wrong else data
            asked = (environ.get("CONTENT_TYPE", ""), body(environ))
            self.capture(key, way, Exchange(request=asked, answer=(headers.get("content-type", ""), data)))
            answer = _pass_back(way, headers, data)
        overhead = began - received + time.perf_counter() - ended
        self.metrics.add(by, status, ended - began, overhead)
        return answer

    def ask_shadow(self, key: Key, way: WeightedServer, headers: dict[str, str], data: bytes) -> None:
        """A copy of a request: nobody gets the answer, but it is counted, and captured where that is asked for."""
        with self._changed:
            if way.server.id not in {one.server.id for one in self._routes.get(key, ())}:
                return
            self._busy[way.server.id] += 1
        began = time.perf_counter()
        try:
            found = self._post(way.server, headers, data)
            status, answered, answer = found.status, found.headers, found.read()
        except TooLate:
            status = 504
        except Unreachable:
            status = 503
            self.lost(key, way.server)
        finally:
            self._free(way.server)
        self.metrics.add(_name_server(key, way), status, time.perf_counter() - began)
        if status < 400:
            given = (headers.get("Content-Type", ""), data)
            told = (answered.get("content-type", ""), answer)
            self.capture(key, way, Exchange(request=given, answer=told))

    def _free(self, server: ModelServer) -> None:
        """One request less is on the server."""
        with self._changed:
            self._busy[server.id] -= 1
            self._changed.notify_all()

    def _post(self, server: ModelServer, headers: dict[str, str], data: bytes) -> ServerAnswer:
        """The answer, its body unread. Raises `Unreachable`, `TooLate`."""
        return self._connections(server).post("/invocations", headers, data)

    def _connections(self, server: ModelServer) -> ServerConnections:
        kept = self._kept.get(server.id)
        if kept is None:
            made = ServerConnections(lambda: self.connect(server))
            kept = self._kept.setdefault(server.id, made)
        return kept


def _pass_on(environ: Environ) -> tuple[dict[str, str], bytes]:
    """What a model server gets of a client's request: headers and body."""
    headers = {name: environ[key] for key, name in PASSED_ON.items() if environ.get(key)}
    if custom := environ.get("HTTP_X_AMZN_SAGEMAKER_CUSTOM_ATTRIBUTES"):
        headers[CUSTOM] = custom
    return headers, body(environ)


def _choose(route: Servers, wanted: str) -> WeightedServer | None:
    """TargetVariant names a production variant: a shadow cannot be asked."""
    route = tuple(way for way in route if not way.shadow and wanted in ("", way.variant))
    if len(route) < 2:
        return route[0] if route else None
    weights = [way.weight for way in route]
    return random.choices(route, weights)[0] if any(weights) else route[0]  # noqa: S311 - weights of traffic, no secret


def _name_server(key: Key, way: WeightedServer) -> Served:
    region, endpoint = key
    return Served(
        region=region,
        endpoint=endpoint,
        variant=way.variant,
        configuration=way.configuration,
        instances=way.instances,
    )


def _pass_back(way: WeightedServer, headers: Mapping[str, str], data: bytes) -> HttpResponse:
    answered = [
        ("Content-Type", headers.get("content-type", "application/octet-stream")),
        ("x-Amzn-Invoked-Production-Variant", way.variant),
        ("x-amzn-RequestId", str(uuid4())),
        ("Content-Length", str(len(data))),
    ]
    if custom := headers.get(CUSTOM.lower()):
        answered.append((CUSTOM, custom))
    return HttpResponse("200 OK", answered, data)


def _stream(way: WeightedServer, found: ServerAnswer, free: Callable[[], None]) -> StreamedResponse:
    """The server's answer, passed on part by part; when it ends, however it ends, its connection is closed."""
    headers = [
        ("Content-Type", CONTENT_TYPE),
        ("X-Amzn-SageMaker-Content-Type", found.headers.get("content-type", "application/octet-stream")),
        ("x-Amzn-Invoked-Production-Variant", way.variant),
        ("x-amzn-RequestId", str(uuid4())),
    ]
    if custom := found.headers.get(CUSTOM.lower()):
        headers.append((CUSTOM, custom))
    parts = (spoil(part) if way.wrong else part for part in found.parts())

    def end() -> None:
        found.close()
        free()

    return StreamedResponse("200 OK", headers, parts, end)


def _refuse_unknown(endpoint: str, variant: str) -> HttpResponse:
    text = f"Variant {variant} not found for endpoint {endpoint} of account {ACCOUNT}."
    if not variant:
        text = f"Endpoint {endpoint} of account {ACCOUNT} not found."
    return _error(400, "ValidationError", {"Message": text})


def _model_error(key: Key, status: int, data: bytes) -> HttpResponse:
    region, endpoint = key
    whose = "server" if status >= 500 else "client"
    original = data[:8192].decode("utf-8", "replace")
    text = (
        f'Received {whose} error ({status}) from primary with message "{original}". See the model server\'s log:'
        " ecomdeploy logs"
    )
    fields = {
        "ErrorCode": f"{whose.upper()}_ERROR_FROM_MODEL",
        "LogStreamArn": f"arn:aws:logs:{region}:{ACCOUNT}:log-group:/aws/sagemaker/Endpoints/{endpoint}",
        "Message": text,
        "OriginalMessage": original,
        "OriginalStatusCode": status,
    }
    return _error(424, "ModelError", fields)


def _error(status: int, code: str, fields: dict[str, Any]) -> HttpResponse:
    data = json.dumps(fields).encode()
    headers = [
        ("Content-Type", "application/json"),
        ("x-amzn-ErrorType", code),
        ("x-amzn-RequestId", str(uuid4())),
        ("Content-Length", str(len(data))),
    ]
    return HttpResponse(line(status), headers, data)
