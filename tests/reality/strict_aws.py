"""`aws:*` as AWS's own provider makes things: it never takes over what is there, and draws names. With a fuse."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import override

from infra.rehearsal.cloud.aws.calls import READING
from infra.rehearsal.engine.provider import (
    CheckResponse,
    CreateResponse,
    ProviderError,
    ResourceIdentity,
    Values,
)
from infra.rehearsal.providers.aws.clients import Sessions
from infra.rehearsal.providers.aws.provider import AwsProvider
from infra.rehearsal.providers.aws.resource import ResourceCall
from infra.rehearsal.providers.aws.table import TypeTable


class ProviderIsDead(Exception):
    """The run that this provider belonged to was killed: it calls nothing any more."""


@dataclass
class Fuse:
    """Blows when the cloud has carried out the `at`-th mutating call of a run (0: never). Each run has one of its own.

    `blow` is what happens then; `deadly`: the provider dies with it. `calls` are the mutating calls, in order.
    """

    at: int = 0
    deadly: bool = True
    blow: Callable[[], object] = lambda: None
    calls: list[str] = field(default_factory=list)
    blown: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def before(self, **_: Any) -> None:
        """botocore's event before a request."""
        if self.blown and self.deadly:
            raise ProviderIsDead

    def after(self, model: Any, **_: Any) -> None:
        """botocore's event after an answer."""
        if not READING.match(model.name):
            with self.lock:
                self.calls.append(f"{model.service_model.service_name}:{model.name}")
                due = len(self.calls) == self.at
                self.blown = self.blown or due
            if due:
                self.blow()
        self.before()


@dataclass
class FusedSessions(Sessions):
    """Clients that tell the fuse of the run in which they are made of their calls."""

    fuse: Fuse = field(default_factory=Fuse)

    @override
    def client(self, service: str, region: str, endpoint: str, credentials: tuple[str, str]) -> Any:
        with self._lock:
            made = self.make(service, region, endpoint, credentials)
        fuse = self.fuse
        made.meta.events.register("before-call", fuse.before)
        made.meta.events.register("after-call", fuse.after)
        return made


class StrictAwsProvider(AwsProvider):
    """What is there already is refused by the cloud or made a second time, as on AWS."""

    @override
    def check(
        self, type: str, who: ResourceIdentity, olds: Values | None, news: Values, *, fresh_name: bool
    ) -> CheckResponse:
        return super().check(type, who, olds, news, fresh_name=fresh_name or not olds)

    @override
    def _adopt(self, call: ResourceCall) -> str:
        return ""

    @override
    def _foresee(self, call: ResourceCall) -> CreateResponse:
        return CreateResponse("", self._preview(call.row, call.inputs))


@dataclass
class StrictAwsProviders:
    """The factory for package "aws"."""

    fuse: Fuse = field(default_factory=Fuse)
    sessions: FusedSessions = field(init=False)
    table: TypeTable = field(default_factory=TypeTable)

    def __post_init__(self) -> None:
        self.sessions = FusedSessions(fuse=self.fuse)

    def __call__(
        self, package: str, configuration: Mapping[str, Any], environment: Mapping[str, str]
    ) -> StrictAwsProvider:
        if package != "aws":
            raise ProviderError("UnknownPackage", f"there is no provider for {package}")
        return StrictAwsProvider(environment, sessions=self.sessions, table=self.table)
