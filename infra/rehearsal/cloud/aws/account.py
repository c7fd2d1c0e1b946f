"""The emulated AWS account in memory: moto, the overlay over it, planted faults, counted calls."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infra.rehearsal.cloud.addresses import Ports
from infra.rehearsal.cloud.aws.calls import ApiCall, ApiError, Environ, HttpResponse, line, rewind
from infra.rehearsal.cloud.aws.constraints import check
from infra.rehearsal.cloud.aws.faults import Faults
from infra.rehearsal.cloud.aws.pace import CloudClock, keep_pace

if TYPE_CHECKING:
    from infra.rehearsal.cloud.aws.eks_nodes.ground import ClusterGround
    from infra.rehearsal.cloud.aws.overlay.base import Overlay
    from infra.rehearsal.cloud.aws.refusals.table import RefusalTable
    from infra.rehearsal.cloud.aws.sagemaker_runtime.invocations import Invocations
    from infra.rehearsal.cloud.registry.registry import RegistryServer
    from infra.rehearsal.cloud.servers.host import Host

OVERLAY = "infra.rehearsal.cloud.aws.overlay"


@dataclass
class Counts:
    """Calls since the daemon started, by "service:Operation". Thread-safe."""

    mutating: int = 0
    reading: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, mutating: bool) -> None:
        with self._lock:
            self.operations[name] += 1
            if mutating:
                self.mutating += 1
            else:
                self.reading += 1

    def as_data(self) -> dict[str, Any]:
        with self._lock:
            return {"mutating": self.mutating, "reading": self.reading, "operations": dict(self.operations)}


class Account:
    """Control-plane calls are answered one at a time (they take milliseconds); invocations never come through here."""

    def __init__(
        self,
        ports: Ports,
        invocations: Invocations,
        registry: Callable[[Account], RegistryServer],
        host: Host,
        registry_login: tuple[str, str],
        clusters: ClusterGround | None = None,
    ) -> None:
        """`clusters`: what an EKS cluster can be; None: records alone."""
        self.ports = ports
        self.invocations = invocations
        self.host = host
        self.clusters = clusters
        self.registry_login = registry_login
        """User and password that the registry asks for."""
        self.clock: CloudClock = invocations.metrics.clock
        """One for everything that waits or counts in periods."""
        self.lock = threading.RLock()
        self.faults = Faults()
        self.counts = Counts()
        self.state: dict[str, Any] = {}
        """What overlays keep, by service; part of the snapshot, so plain picklable data."""
        self.changed = threading.Event()
        """Something is newer than the last snapshot."""
        self.closing = False
        self.ending = threading.Event()
        """Set when the daemon ends: background work stops waiting."""
        self._overlays: dict[str, Overlay | None] = {}
        self._refusals: RefusalTable | None = None
        self.dispatcher: Callable[[Environ, Any], Any]
        self.registry = registry(self)

    # ---- calls ----

    def answer(self, call: ApiCall) -> HttpResponse:
        """Answer one control-plane call."""
        self.counts.add(f"{call.service}:{call.operation or call.environ['REQUEST_METHOD']}", call.mutates)
        try:
            answer = self._answer(call)
        except ApiError as error:
            return _refusal(call, error)
        except Exception as error:
            traceback.print_exc()
            return _refusal(call, ApiError("InternalFailure", f"the local cloud failed: {error}", 501))
        if call.mutates and answer.ok:
            self.changed.set()
        return answer

    def _answer(self, call: ApiCall) -> HttpResponse:
        if call.operation and (fault := self.faults.strike("api-error", operation=call.operation)):
            raise ApiError(fault.code, fault.message)
        with self.lock:
            if self.closing:
                raise ApiError("ServiceUnavailable", "the local cloud is stopping", 503)
            overlay = self.overlay(call.service)
            handler = overlay.handler(call.operation) if overlay else None
            if handler is not None:
                check(call.model.operation_model(call.operation).input_shape, call.parameters)
            self.refusals().check(self, call)
            if handler is None:
                return self.forward(call)
            result = handler(call)
            return result if isinstance(result, HttpResponse) else call.answer(result)

    def forward(self, call: ApiCall) -> HttpResponse:
        """moto's answer. What moto has not is answered 501, which no SDK retries, instead of its HTML page."""
        written: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
            written[:] = [status, headers]

        rewind(call.environ)
        try:
            pieces = self.dispatcher(call.environ, start_response)
            body = b"".join(pieces)
        except NotImplementedError:
            raise _missing(call) from None
        except Exception as error:  # moto answers what it cannot digest with any exception at all
            traceback.print_exc()
            raise ApiError("InternalFailure", f"moto failed on {call.operation}: {error}", 501) from None
        headers = [
            (name, value) for name, value in written[1] if name.lower() not in ("status", "connection")
        ]
        # S3 answers HeadBucket of a missing bucket with 404, the same content type and no body.
        if written[0][:3] in ("404", "405") and body[:9].lower() == b"<!doctype":
            raise _missing(call)
        return HttpResponse(line(written[0]), headers, body)

    def load_moto(self) -> None:
        """Import moto, once and before anything is answered: its modules import each other in circles, which two
        threads at once would trip over. Services other than ECR are imported later, under the lock.
        """
        import moto.ecr.models  # noqa: F401
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

        self.dispatcher = DomainDispatcherApplication(create_backend_app)

    def refusals(self) -> RefusalTable:
        """The table of what AWS refuses, read on first use."""
        from infra.rehearsal.cloud.aws.refusals.table import RefusalTable

        if self._refusals is None:
            self._refusals = RefusalTable()
        return self._refusals

    # ---- overlays ----

    def overlay(self, service: str) -> Overlay | None:
        """The overlay of a service by its signing name, made on first use; None where there is no such file."""
        with self.lock:
            if service not in self._overlays:
                self._overlays[service] = self._make(service)
            return self._overlays[service]

    def _make(self, service: str) -> Overlay | None:
        from infra.rehearsal.cloud.aws.overlay.base import Overlay

        name = f"{OVERLAY}.{service.replace('-', '_')}"
        if not service.replace("-", "").isalnum() or importlib.util.find_spec(name) is None:
            return None
        module = importlib.import_module(name)
        for found in vars(module).values():
            if inspect.isclass(found) and issubclass(found, Overlay) and found.__module__ == name:
                return found(self)
        raise TypeError(f"{name} has no Overlay")

    def restore(self) -> None:
        """After the state was loaded: overlays with state bring back what runs."""
        self.invocations.metrics.restore(self.state.get("metrics", {}))
        self.clock.set(self.state.get("pace", self.clock.usual))
        for service in tuple(self.state):
            if overlay := self.overlay(service):
                overlay.restore()

    def keep(self) -> dict[str, Any]:
        """The state as the snapshot has it, with the metrics of the last hour of AWS's."""
        return {**self.state, "metrics": self.invocations.metrics.keep()}

    def set_pace(self, pace: float) -> None:
        """From now on, and after a restart."""
        with self.lock:
            keep_pace(self.clock, self.state, pace)
        self.changed.set()

    def close_overlays(self) -> None:
        """Let every overlay end what it runs; the next call of a service makes it anew."""
        with self.lock:
            overlays = [overlay for overlay in self._overlays.values() if overlay]
            self._overlays.clear()
        for overlay in overlays:
            overlay.close()

    def reset(self) -> None:
        """An empty account: no resources, images, servers, faults. Counts go on."""
        from moto.core.base_backend import BackendDict

        self.close_overlays()
        with self.lock:
            self.host.stop_all()
            self.state.clear()
            self.faults.clear()
            self.invocations.metrics.clear()
            self.invocations.logged.clear()
            self.clock.set(self.clock.usual)
            BackendDict.reset()
            self.registry.reset()
        self.changed.set()

    def background(self, name: str, work: Callable[[], None]) -> None:
        """Run work that outlasts a call in a thread of its own; what it raises is logged."""
        threading.Thread(target=work, name=name, daemon=True).start()

    def status(self) -> dict[str, Any]:
        """What the overlays that were used have to say."""
        with self.lock:
            found: dict[str, Any] = {}
            for overlay in filter(None, self._overlays.values()):
                found |= overlay.status()
            return found


def _missing(call: ApiCall) -> ApiError:
    """Said by name, so that nobody looks for the fault elsewhere."""
    return ApiError("NotImplemented", f"the local cloud does not have {call.service} {call.operation}", 501)


def _refusal(call: ApiCall, error: ApiError) -> HttpResponse:
    try:
        return call.answer(error)
    except (
        Exception
    ):  # an operation or protocol that no model describes: plain XML, which S3-like clients read
        status = error.status or 400
        body = f"<Error><Code>{error.code}</Code><Message>{error.message}</Message></Error>".encode()
        return HttpResponse(
            line(status),
            [("Content-Type", "text/xml"), ("Content-Length", str(len(body)))],
            body,
        )
