"""sagemaker-runtime's InvokeEndpoint: the way from a client's request to the model server that answers it.

Source: API_runtime_InvokeEndpoint (documented); the texts of errors are recorded (SageMaker examples #293, #4324).
A route is replaced as a whole, so every request sees either the old servers or the new ones; old servers are
stopped when the last request on them has ended.
"""

from __future__ import annotations

import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from infra.rehearsal.cloud.addresses import REGION
from infra.rehearsal.cloud.aws.calls import SCOPE, Environ, HttpResponse, body
from infra.rehearsal.cloud.aws.faults import spoil
from infra.rehearsal.cloud.aws.sagemaker_runtime.answers import (
    CUSTOM,
    pass_back,
    pass_on,
    refuse,
    refuse_unknown,
    tell_model_error,
)
from infra.rehearsal.cloud.aws.sagemaker_runtime.streaming import StreamedResponse
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
    "accept": "Accept",
    "x-amzn-sagemaker-accept": "Accept",
    "content-type": "Content-Type",
    CUSTOM.lower(): CUSTOM,
}


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


@dataclass(frozen=True, slots=True)
class InvocationRequest:
    """A client's request: whose, the variant that it names or "", and what the model server gets of it. `received`: on
    the clock of `time.perf_counter`."""

    key: Key
    wanted: str
    headers: dict[str, str]
    data: bytes
    received: float

    @classmethod
    def read(cls, endpoint: str, environ: Environ) -> InvocationRequest:
        """Out of WSGI's words for it."""
        received = time.perf_counter()
        scope = SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
        given = {name: environ.get(wsgi_name(name), "") for name in PASSED_ON}
        return cls(
            key=(scope[1] if scope else REGION, endpoint),
            wanted=environ.get("HTTP_X_AMZN_SAGEMAKER_TARGET_VARIANT", ""),
            headers=pass_on_headers(given),
            data=body(environ),
            received=received,
        )


@dataclass(frozen=True, slots=True)
class ServerReply:
    """What a model server said; `headers` by their names in lower case."""

    status: int
    headers: Mapping[str, str]
    data: bytes


def pass_on_headers(given: Mapping[str, str]) -> dict[str, str]:
    """What a model server gets of a client's headers, those by their names in lower case."""
    return {name: given[key] for key, name in PASSED_ON.items() if given.get(key)}


def wsgi_name(header: str) -> str:
    """Where WSGI has a header (PEP 3333)."""
    key = header.upper().replace("-", "_")
    return key if key == "CONTENT_TYPE" else f"HTTP_{key}"


TOO_LATE = ServerReply(504, {}, b"the model did not answer within 60 s")


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
    left: Callable[[ModelServer], None] = lambda server: None
    """Told of a server that is asked nothing any more; set by whoever keeps connections to it."""
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
        self.left(server)
        return ended

    def invoke(
        self, endpoint: str, environ: Environ, stream: bool = False
    ) -> HttpResponse | StreamedResponse:
        """Answer InvokeEndpoint; with `stream` InvokeEndpointWithResponseStream, where the server counts as busy until
        the stream has ended."""
        asked = InvocationRequest.read(endpoint, environ)
        way = self.hold(asked)
        if way is None:
            return self.refuse_unknown(asked)
        began, streamed = time.perf_counter(), None
        try:
            found = self._post(way.server, asked.headers, asked.data)
            if stream and found.status < 400:
                streamed = pass_on(way.variant, way.wrong, found, lambda: self.free(way.server))
            else:
                answered = ServerReply(found.status, found.headers, found.read())
        except TooLate:
            answered = TOO_LATE
        except Unreachable:
            return self.give_up(asked, way, began)
        finally:
            if streamed is None:
                self.free(way.server)
        if streamed is None:
            return self.conclude(asked, way, answered, began)
        self.metrics.add(_name_server(asked.key, way), found.status, time.perf_counter() - began)
        return streamed

    def hold(self, asked: InvocationRequest) -> WeightedServer | None:
        """Who is to answer, held until `free`; None: nobody. Whoever shadows it gets a copy."""
        with self._changed:
            route = self._routes.get(asked.key, ())
            way = _choose(route, asked.wanted)
            if way is None:
                return None
            self._busy[way.server.id] += 1
        for shadow in route:
            if shadow.shadow and shadow.configuration == way.configuration:
                share = shadow.full / way.full if way.full else 0.0
                self.copies.send(
                    share, partial(self.ask_shadow, asked.key, shadow, asked.headers, asked.data)
                )
        return way

    def free(self, server: ModelServer) -> None:
        """One request less is on the server."""
        with self._changed:
            self._busy[server.id] -= 1
            self._changed.notify_all()

    def refuse_unknown(self, asked: InvocationRequest) -> HttpResponse:
        """What there is to say where nobody is to answer."""
        return refuse_unknown(asked.key[1], asked.wanted if self.route(asked.key) else "")

    def give_up(self, asked: InvocationRequest, way: WeightedServer, began: float) -> HttpResponse:
        """The answer in the place of a server that does not live any more; somebody is told of it."""
        now = time.perf_counter()
        self.metrics.add(_name_server(asked.key, way), 503, now - began, began - asked.received)
        self.lost(asked.key, way.server)
        return refuse(503, "ServiceUnavailable", {"Message": "The service is currently unavailable."})

    def conclude(
        self, asked: InvocationRequest, way: WeightedServer, answered: ServerReply, began: float
    ) -> HttpResponse:
        """A server's answer as SageMaker passes it back; it is counted, and captured where that is asked for. `began`:
        when the server was asked."""
        ended = time.perf_counter()
        status, headers, data = answered.status, answered.headers, answered.data
        if status >= 400:
            answer = tell_model_error(*asked.key, status, data)
        else:
            data = spoil(data) if way.wrong else data
            request = (asked.headers.get("Content-Type", ""), asked.data)
            self.capture(
                asked.key, way, Exchange(request=request, answer=(headers.get("content-type", ""), data))
            )
            answer = pass_back(way.variant, headers, data)
        overhead = began - asked.received + time.perf_counter() - ended
        self.metrics.add(_name_server(asked.key, way), status, ended - began, overhead)
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
            self.free(way.server)
        self.metrics.add(_name_server(key, way), status, time.perf_counter() - began)
        if status < 400:
            given = (headers.get("Content-Type", ""), data)
            told = (answered.get("content-type", ""), answer)
            self.capture(key, way, Exchange(request=given, answer=told))

    def _post(self, server: ModelServer, headers: dict[str, str], data: bytes) -> ServerAnswer:
        """The answer, its body unread. Raises `Unreachable`, `TooLate`."""
        return self._connections(server).post("/invocations", headers, data)

    def _connections(self, server: ModelServer) -> ServerConnections:
        kept = self._kept.get(server.id)
        if kept is None:
            made = ServerConnections(lambda: self.connect(server))
            kept = self._kept.setdefault(server.id, made)
        return kept


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
