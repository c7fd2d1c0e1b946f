"""The life of one pod: its container started, asked, started again, ended; told as a kubelet tells it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from infra.kubernetes.client import KubernetesRefused, KubernetesUnreachable, Object
from infra.kubernetes.objects import now
from infra.rehearsal.cloud.kubernetes.node_agent.addresses import PodAddress, PodAddresses
from infra.rehearsal.cloud.kubernetes.node_agent.back_off import (
    FIRST_BACK_OFF,
    STEADY_SECONDS,
    as_go,
    back_off,
)
from infra.rehearsal.cloud.kubernetes.node_agent.pod_store import PodStore
from infra.rehearsal.cloud.kubernetes.node_agent.probes import (
    ContainerProbe,
    ProbeKind,
    Prober,
    ask,
    probes_of,
)
from infra.rehearsal.cloud.kubernetes.node_agent.report import PodReport
from infra.rehearsal.cloud.kubernetes.node_agent.settings import (
    ContainerSettings,
    served_port,
    settings_of,
)
from infra.rehearsal.cloud.kubernetes.node_agent.status import (
    ContainerView,
    earlier_logs,
    phase_of,
    running,
    termination,
    waiting,
)
from infra.rehearsal.cloud.servers.host import (
    DRAIN_SECONDS,
    KILLED,
    Host,
    ModelServer,
    NoSuchImage,
    ServerFailed,
)
from modelpack.errors import EcomdeployError

LOOK_SECONDS = 0.5
"""How long a server that ended by itself goes unnoticed at most."""
CONFIGURE_SECONDS = 5.0
"""Until a ConfigMap or Secret that was missing is looked for again."""
WORDS_BYTES, WORDS_LINES = 2048, 80
"""Of its log that a container's end tells, as with FallbackToLogsOnError."""
DONE = ("Succeeded", "Failed")
RETRY_SECONDS, IDLE_SECONDS = 1.0, 3600.0
GONE_SECONDS, LEAST_SECONDS = 2.0, 1.0
"""Of grace: for the server of a pod that was deleted by force, and for any."""


@dataclass(frozen=True, kw_only=True)
class Means:
    """What every pod of the agent is run with. `first_back_off` in seconds."""

    host: Host
    store: PodStore
    addresses: PodAddresses
    first_back_off: float = FIRST_BACK_OFF


class PodRunner:
    """One pod, in a thread of its own. `done` is set once nothing of it runs and the API server knows."""

    def __init__(self, pod: Object, means: Means) -> None:
        self._means = means
        self._report = PodReport(pod, means.store)
        self._wake = threading.Event()
        self._left = False
        self._address: PodAddress | None = None
        self._ran = bool(self._report.view.id)
        self._failures = self._pulls = 0
        self._probers: dict[str, Prober] = {}
        self._server: ModelServer | None = None
        self.logs = earlier_logs(self._report.view)
        """Of which model servers there are logs: the newest last, and at most one before it."""
        self.done = threading.Event()

    @property
    def pod(self) -> Object:
        return self._report.pod

    @property
    def view(self) -> ContainerView:
        return self._report.view

    @property
    def server(self) -> ModelServer | None:
        """What runs now."""
        return self._server

    @property
    def container(self) -> Object:
        found: Object = self._report.pod["spec"]["containers"][0]
        return found

    def start(self) -> PodRunner:
        """Begin; returns itself."""
        threading.Thread(target=self._run, name=self._report.pod["metadata"]["name"], daemon=True).start()
        return self

    def update(self, pod: Object) -> None:
        """The pod as the API server has it now."""
        self._report.pod = pod
        self._wake.set()

    def leave(self, *, gone: bool) -> None:
        """Stop its container. `gone`: the API server has no such pod any more; else this agent is about to end."""
        self._left, self._report.gone = True, gone
        self._wake.set()

    # ---- its life ----

    @property
    def _deleted(self) -> bool:
        return "deletionTimestamp" in self._report.pod["metadata"]

    @property
    def _ending(self) -> bool:
        return self._left or self._deleted

    def _run(self) -> None:
        try:
            while not self._ending and phase_of(self._report.pod, self._report.view) not in DONE:
                settings = self._configure()
                server = self._begin(settings) if settings else None
                if settings and server:
                    self._attend(server, settings)
                    self._pause()
            while not self._ending:
                self._rest(IDLE_SECONDS)
            self._finish()
        finally:
            if self._address:
                self._means.addresses.give_back(self._address)
            if self._report.gone or self._deleted:
                self._keep_logs(0)
            self.done.set()

    def _configure(self) -> ContainerSettings | None:
        """The address and the environment; None where something is missing, after a while."""
        try:
            if self._address is None:
                before = (self._report.pod.get("status") or {}).get("podIP") or ""
                self._address = self._means.addresses.take(served_port(self._report.pod), before)
                self._report.address = self._address.ip
            self._report.write()
            store = self._means.store
            return settings_of(self._report.pod, self._address.ip, store.values, store.account)
        except KubernetesUnreachable:
            pass
        except EcomdeployError as problem:
            self._report.tell("Failed", f"Error: {problem}", warning=True)
            self._report.show(state=waiting("CreateContainerConfigError", str(problem)))
        self._rest(CONFIGURE_SECONDS)
        return None

    def _begin(self, settings: ContainerSettings) -> ModelServer | None:
        """Start its server; None where that failed, after the back-off."""
        image = self.container.get("image", "")
        begun = time.monotonic()
        try:
            server = self._means.host.start(image, settings.environment, settings.secrets, settings.errand)
        except NoSuchImage as problem:
            self._refuse_image(image, str(problem))
            return None
        except ServerFailed as problem:
            self._refuse_start(str(problem))
            return None
        self._pulls = 0
        self._server = server
        assert self._address is not None, "taken before"
        self._address.entrance.connect = partial(self._means.host.connect, server)
        self.logs.append(server.id)
        self._keep_logs(2)
        state, last = self._report.view.state, self._report.view.last
        probes = probes_of(self.container)
        self._report.show(
            state=running(now()),
            last=state if "terminated" in state else last,
            restarts=self._report.view.restarts + self._ran,
            id=server.id,
            image=f"{image.partition('@')[0]}@{server.digest}",
            started="startup" not in probes,
            ready=not {"startup", "readiness"} & set(probes),
        )
        self._ran = True
        name = self.container["name"]
        self._report.tell("Pulled", f'Image "{image}" ready in {time.monotonic() - begun:.3f}s')
        self._report.tell("Created", f"Created container: {name}")
        self._report.tell("Started", f"Started container {name}")
        return server

    def _refuse_image(self, image: str, why: str) -> None:
        self._pulls += 1
        self._report.tell("Failed", f'Failed to pull image "{image}": {why}', warning=True)
        self._report.show(state=waiting("ErrImagePull", why))
        self._report.show(
            state=waiting("ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {why}')
        )
        self._report.tell("BackOff", f'Back-off pulling image "{image}"')
        self._rest(back_off(self._pulls + 1, self._means.first_back_off))

    def _refuse_start(self, why: str) -> None:
        self._failures += 1
        self._report.tell("Failed", f"Error: {why}", warning=True)
        self._report.show(state=waiting("RunContainerError", why))
        self._rest(back_off(self._failures + 1, self._means.first_back_off))

    # ---- while it runs ----

    def _attend(self, server: ModelServer, settings: ContainerSettings) -> None:
        """Until it ended, by itself or by us."""
        since = time.monotonic()
        probes = probes_of(self.container)
        try:
            while True:
                self._judge(server, settings.port, probes, since)
                self._report.write()
                if (code := self._means.host.status(server)) is not None:
                    self._means.host.stop(server)
                    break
                if (stopped := self._stop_if_needed(server)) is not None:
                    code = stopped
                    break
                self._wake.wait(LOOK_SECONDS)
                self._wake.clear()
        finally:
            for prober in self._probers.values():
                prober.stop()
            self._probers = {}
            self._server = None
        self._failures = 1 if time.monotonic() - since >= STEADY_SECONDS else self._failures + 1
        assert self._address is not None, "taken before"
        self._address.entrance.connect = None
        self._report.show(state=self._end_of(server, code), ready=False, started=False)

    def _judge(
        self, server: ModelServer, port: int, probes: Mapping[ProbeKind, ContainerProbe], since: float
    ) -> None:
        """What the probes have found; the others begin once the start is over."""
        started = "startup" not in probes or _passing(self._probers.get("startup"))
        for kind, probe in probes.items():
            if kind not in self._probers and started == (kind != "startup"):
                connect = partial(self._means.host.connect, server)
                assert self._address is not None, "taken before"
                asking = partial(ask, probe, connect, self._address.ip, port)
                self._probers[kind] = Prober(probe, asking, self._hear).start(since)
        ready = started and ("readiness" not in probes or _passing(self._probers.get("readiness")))
        self._report.view = replace(self._report.view, started=started, ready=ready)

    def _hear(self, probe: ContainerProbe, why: str) -> None:
        if why:
            self._report.tell("Unhealthy", f"{probe.kind.capitalize()} probe failed: {why}", warning=True)
        self._wake.set()

    def _stop_if_needed(self, server: ModelServer) -> int | None:
        """End it where its pod ends, or where a probe found it beyond help; its exit status."""
        name, spec = self.container["name"], self._report.pod["spec"]
        grace = float(spec.get("terminationGracePeriodSeconds", 30))
        if self._ending:
            if self._deleted and not self._report.gone:
                grace = float(self._report.pod["metadata"].get("deletionGracePeriodSeconds", grace))
                self._report.tell("Killing", f"Stopping container {name}")
                grace -= self._sleep_before_stop(grace)
            else:
                grace = min(grace, GONE_SECONDS if self._report.gone else DRAIN_SECONDS)
            if self._address:
                self._means.addresses.close(self._address)
            code = self._means.host.stop(server, max(grace, LEAST_SECONDS))
            return KILLED if code is None else code
        for kind in ("startup", "liveness"):
            prober = self._probers.get(kind)
            if prober and prober.verdicts.failing:
                self._report.tell("Killing", f"Container {name} failed {kind} probe, will be restarted")
                code = self._means.host.stop(
                    server, grace if prober.probe.grace is None else prober.probe.grace
                )
                return KILLED if code is None else code
        return None

    def _sleep_before_stop(self, most: float) -> float:
        """The hook `preStop.sleep`; how long it was."""
        hook = (self.container.get("lifecycle") or {}).get("preStop") or {}
        seconds = min(float((hook.get("sleep") or {}).get("seconds", 0)), most)
        time.sleep(seconds)
        return seconds

    def _end_of(self, server: ModelServer, code: int) -> Object:
        began = str(self._report.view.state["running"]["startedAt"])  # type: ignore[index]
        words = "\n".join(self._means.host.tail(server, WORDS_LINES))[-WORDS_BYTES:] if code else ""
        return termination(code, "Error" if code else "Completed", words, server.id, began, now())

    def _pause(self) -> None:
        """Before it is started again: after the first failure at once, then longer and longer."""
        seconds = back_off(self._failures, self._means.first_back_off)
        if self._ending or phase_of(self._report.pod, self._report.view) in DONE or not seconds:
            return
        name, metadata = self.container["name"], self._report.pod["metadata"]
        whose = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
        words = f"back-off {as_go(seconds)} restarting failed container={name} pod={whose}"
        self._report.show(state=waiting("CrashLoopBackOff", words), last=self._report.view.state)
        self._report.tell(
            "BackOff", f"Back-off restarting failed container {name} in pod {whose}", warning=True
        )
        self._rest(seconds)

    def _rest(self, seconds: float) -> None:
        """Wait as long, unless the pod ends meanwhile."""
        until = time.monotonic() + seconds
        while not self._ending and (left := until - time.monotonic()) > 0:
            self._report.write()
            self._wake.wait(min(left, RETRY_SECONDS))
            self._wake.clear()

    def _finish(self) -> None:
        """The last word on the pod: a deleted one may be forgotten now, another is not ready until an agent is back."""
        self._report.show(ready=False)
        while self._deleted and not self._report.gone:
            try:
                self._means.store.finish(self._report.pod)
                return
            except (KubernetesUnreachable, KubernetesRefused) as problem:
                if self._left:
                    return
                self._report.say(f"it cannot be ended: {problem}")
                self._wake.wait(RETRY_SECONDS)
                self._wake.clear()

    def _keep_logs(self, most: int) -> None:
        while len(self.logs) > most:
            with contextlib.suppress(OSError):
                self._means.host.log(self.logs.pop(0)).unlink(missing_ok=True)


def _passing(prober: Prober | None) -> bool:
    return prober is not None and prober.verdicts.passing
