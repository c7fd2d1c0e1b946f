"""What every overlay file has: handlers for operations, each labelled with where its behaviour is known from."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar

from infra.rehearsal.cloud.addresses import ACCOUNT, Ports
from infra.rehearsal.cloud.aws.calls import ApiCall, ApiError, HttpResponse

if TYPE_CHECKING:
    from infra.rehearsal.cloud.aws.eks_nodes.ground import ClusterGround
    from infra.rehearsal.cloud.aws.faults import Faults
    from infra.rehearsal.cloud.aws.pace import CloudClock
    from infra.rehearsal.cloud.aws.sagemaker_runtime.invocations import Invocations
    from infra.rehearsal.cloud.registry.registry import RegistryServer
    from infra.rehearsal.cloud.servers.host import Host

Handler = Callable[[ApiCall], "Mapping[str, Any] | HttpResponse"]
Answering = TypeVar("Answering", bound=Callable[..., Any])


@dataclass(frozen=True)
class Emulated:
    """`documented`: after the page `source` of the AWS API; `recorded`: after published answers of the real service."""

    operation: str
    label: Literal["documented", "recorded"]
    source: str
    about: str


def emulates(
    operations: str, label: Literal["documented", "recorded"], source: str
) -> Callable[[Answering], Answering]:
    """Mark a method of an Overlay as the answer to one or more operations."""

    def mark(function: Answering) -> Answering:
        about = (function.__doc__ or "").strip().split("\n")[0]
        entries = tuple(Emulated(operation, label, source, about) for operation in operations.split())
        function.emulated = entries  # type: ignore[attr-defined]
        return function

    return mark


class Surroundings(Protocol):
    """What overlays use of the account they belong to."""

    ports: Ports
    invocations: Invocations
    host: Host
    clock: CloudClock
    lock: threading.RLock
    faults: Faults
    state: dict[str, Any]
    changed: threading.Event
    ending: threading.Event
    registry: RegistryServer
    registry_login: tuple[str, str]
    clusters: ClusterGround | None

    def forward(self, call: ApiCall) -> HttpResponse:
        """moto's answer."""
        ...

    def overlay(self, service: str) -> Overlay | None:
        """The overlay of a service by its signing name."""
        ...

    def background(self, name: str, work: Callable[[], None]) -> None:
        """Run work that outlasts a call."""
        ...


class Overlay:
    """Handlers run one at a time under the account's lock: longer work goes to `account.background`."""

    table: ClassVar[tuple[Emulated, ...]] = ()
    _methods: ClassVar[dict[str, str]] = {}

    def __init_subclass__(cls) -> None:
        marked = [
            (entry, name)
            for kind in cls.__mro__
            for name, method in vars(kind).items()
            for entry in getattr(method, "emulated", ())
        ]
        cls.table = tuple(entry for entry, _ in marked)
        cls._methods = {entry.operation: name for entry, name in marked}

    def __init__(self, account: Surroundings) -> None:
        self.account = account

    def handler(self, operation: str) -> Handler | None:
        """The method that answers an operation, or None: moto does."""
        name = self._methods.get(operation)
        return getattr(self, name) if name else None

    def restore(self) -> None:
        """The snapshot was loaded; bring back what runs. Called without the lock, before anything is answered."""

    def close(self) -> None:
        """The account is emptied or the daemon ends."""

    def status(self) -> dict[str, Any]:
        """What `cloud status` shows of this service."""
        return {}

    def moto(self, call: ApiCall) -> HttpResponse:
        """moto's answer to the call."""
        return self.account.forward(call)


def document(answer: HttpResponse) -> dict[str, Any]:
    """The JSON body of an answer."""
    return dict(json.loads(answer.body))


def arn(service: str, region: str, resource: str) -> str:
    """The ARN of a resource of the emulated account."""
    return f"arn:aws:{service}:{region}:{ACCOUNT}:{resource}"


def now() -> datetime:
    """The time that answers carry."""
    return datetime.now(UTC)


__all__ = ["ApiCall", "ApiError", "Emulated", "HttpResponse", "Overlay", "arn", "document", "emulates", "now"]
