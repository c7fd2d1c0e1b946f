"""The local cloud as the rest of ecomdeploy sees it: started when needed, spoken to over loopback. Light to import."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, cast

from infra.rehearsal.cloud import starting
from infra.rehearsal.cloud.addresses import ACCESS_KEY, LOOPBACK, REGION, Ports
from infra.rehearsal.cloud.daemon.process import Folder
from infra.rehearsal.cloud.kubernetes import access
from infra.rehearsal.cloud.kubernetes.left import end_left, tell_left
from infra.rehearsal.cloud.kubernetes.places import KubernetesPlaces
from infra.rehearsal.cloud.running import Running
from infra.rehearsal.cloud.sources import SOURCES, name_sources
from infra.rehearsal.cloud.starting import START_SECONDS
from modelpack.errors import BadInput, EcomdeployError
from modelpack.home import Home
from modelpack.progress import Progress, Silent

RENEWED = (
    "the local cloud runs code from before an upgrade: `ecomdeploy cloud stop`, and the next command starts it anew "
    "(its state is kept)"
)


@dataclass(frozen=True)
class CloudStopped:
    """A local cloud that has ended. `lost`: what of its state was not kept, in words; empty when all of it was."""

    lost: tuple[str, ...]


@dataclass(frozen=True)
class LocalCloud:
    """The one local cloud of a user's home. Holds nothing itself: any number of these may be used at once."""

    home: Home
    host: str = "infra.rehearsal.cloud.servers.models:ModelHost"
    """What runs the model servers of a daemon started from here (module:class or file.py:class of a host.Host)."""

    answer_seconds: float = 30.0
    """How long a daemon may leave a question unanswered before it counts as hung."""

    sources: Path = SOURCES
    """The code that a daemon started from here runs."""

    @property
    def folder(self) -> Folder:
        return Folder(self.home.cloud.absolute())

    @property
    def _kubernetes(self) -> KubernetesPlaces:
        return KubernetesPlaces(self.folder.kubernetes)

    def running(self) -> Running | None:
        """The daemon if it answers now, ready or still bringing endpoints back; never starts it."""
        health = self._health()
        return Running.read(health) if health else None

    def ensure(self, progress: Progress | None = None, port: int | None = None) -> Running:
        """Start it unless it runs, and wait until every endpoint it had answers again.

        Raises:
            BadInput: the port is in use by another program, or the daemon already runs on another port.
            EcomdeployError: it did not start; the message carries its last words.
        """
        told = progress or Silent()
        health = self._bring_up(told, port)
        if health.get("code") != name_sources(self.sources):
            told.note(RENEWED)
        if port is not None and health["aws_port"] != port:
            raise BadInput(
                f"the local cloud already runs on port {health['aws_port']}",
                hint=f"ecomdeploy cloud stop && ecomdeploy cloud start --port {port}",
            )
        return Running.read(health)

    def stop(self) -> CloudStopped | None:
        """End it and its model servers. None when it was not running."""
        daemon = self.folder.daemon()
        if daemon is None:
            return CloudStopped(()) if end_left(self._kubernetes) else None
        # It may be gone before its answer is read; whether it ends is what counts.
        with contextlib.suppress(EcomdeployError):
            self._ask("POST", "stop")
        deadline = time.monotonic() + 120
        while daemon.alive:
            if time.monotonic() > deadline:
                raise EcomdeployError(
                    f"the local cloud (pid {daemon.pid}) does not end", hint=f"kill -9 {daemon.pid}"
                )
            time.sleep(0.02)
        return CloudStopped(self.folder.read_losses())

    def reset(self) -> None:
        """Empty the account, the registry and all model servers. Starts it when it does not run."""
        self._bring_up(Silent())
        self._ask("POST", "reset", seconds=120)

    def ensure_kubernetes(self, progress: Progress | None = None) -> access.KubernetesAccess:
        """Start the local Kubernetes, and the local cloud, unless they run, and wait until it is ready.

        Raises:
            BadInput: there are no binaries of the control plane here.
            EcomdeployError: it did not come up; the message says what did not, and where its log is.
        """
        told = progress or Silent()
        self._bring_up(told)
        found = self.kubernetes_status()
        if found["state"] not in ("starting", "ready"):
            from infra.rehearsal.cloud.kubernetes import binaries, gateway_api
            from infra.rehearsal.cloud.kubernetes.local import StartRequest

            chosen = binaries.require(self.home.cache)
            request = StartRequest(binaries=chosen, definitions=gateway_api.ensure(self.home.cache, told))
            told.note("Starting the local Kubernetes: a real control plane, on loopback only.")
            found = self._ask("POST", "kubernetes/start", request.as_data())
        found = access.await_ready(found, self.kubernetes_status, START_SECONDS, self._kubernetes.logs)
        return access.KubernetesAccess.read(found)

    def ensure_addon(self, name: str, progress: Progress | None = None) -> None:
        """Have that add-on ("keda", "karpenter") run beside the local Kubernetes, which is started, from now on.

        Raises as `ensure_kubernetes`, BadInput where it was not installed, and EcomdeployError where it fails."""
        from infra.rehearsal.cloud.kubernetes.addons.catalog import find_addon

        source = find_addon(name).source
        folder = source.require(self.home.cache)
        self.ensure_kubernetes(progress)
        found = self._ask("POST", "kubernetes/addon", {"name": name, "folder": str(folder)})
        access.await_addon(source.title, name, found, self.kubernetes_status, START_SECONDS)

    def kubernetes_status(self) -> dict[str, Any]:
        """`state`: "stopped", "starting", "ready" or "failed" for its `reason`; `processes`; `kubeconfig` and `gateway`
        where it has them. "left" is what outlived a killed local cloud. Starts nothing."""
        return self._ask("GET", "kubernetes") if self.folder.daemon() else tell_left(self._kubernetes)

    def stop_kubernetes(self) -> bool:
        """End it, also what of it outlived a killed local cloud; its data stay, and it does not come back with the
        local cloud. False when none ran and none was to."""
        if not self.folder.kubernetes.is_dir():
            return False
        with self.folder.lock("start.lock", wait=True):
            request = self._kubernetes.wanted
            wanted = request.exists()
            if starting.lives(self.folder, self._health, self.answer_seconds):
                self._ask("POST", "kubernetes/stop", {}, seconds=120)
                return wanted
            request.unlink(missing_ok=True)
            return end_left(self._kubernetes) > 0 or wanted

    def status(self) -> dict[str, Any]:
        """Ports, pid, endpoints with state and isolation, images, counts, age of the snapshot in seconds."""
        return self._ask("GET", "status")

    def plant(self, fault: dict[str, Any]) -> None:
        """Plant a fault (see faults.py). Raises BadInput when it is not one."""
        self._ask("POST", "faults", fault)

    def set_quota(self, quota: str, value: float) -> dict[str, Any]:
        """Set one of the account's quotas, by name or code; as quotas.py's. Raises BadInput when there is none."""
        return self._ask("POST", "quotas", {"quota": quota, "value": value})

    def clear_faults(self) -> None:
        """End all planted faults; servers that already answer wrong keep doing so."""
        self._ask("DELETE", "faults")

    def pace(self) -> float:
        """Seconds of AWS's waits and periods that pass here in one; `aws.pace.describe_pace` says it in words."""
        return float(self._ask("GET", "health")["pace"])

    def set_pace(self, pace: float) -> None:
        """From now on, also after a restart, until a reset. Raises BadInput when it is none."""
        self._ask("POST", "pace", {"pace": pace})

    def generation(self) -> str:
        """Another word after a reset, a kill of the daemon, or a lost snapshot. Starts it when it does not run."""
        self._bring_up(Silent())
        return str(self._ask("GET", "health")["generation"])

    def counts(self) -> dict[str, int]:
        """Calls since the daemon started: {"mutating", "reading"}; a push to the registry counts as mutating."""
        counts = self._ask("GET", "counts")
        return {"mutating": counts["mutating"], "reading": counts["reading"]}

    def operations(self) -> dict[str, int]:
        """The same by operation: {"sagemaker:CreateModel": 2, "registry:PUT": 9, ...}."""
        return cast("dict[str, int]", self._ask("GET", "counts")["operations"])

    def find_logs(self, image: str, endpoint: str = "") -> list[Path]:
        """What the servers of an image wrote (the first digits of its digest), the newest server's last: those that
        answer for the endpoint now, where some do, for other endpoints may have the same image."""
        from infra.rehearsal.cloud.servers.models import list_logs

        found = list_logs(self.folder.models, image)
        told = self.status()["endpoints"] if endpoint and self.running() else ()
        serving = {server["id"] for one in told if one["name"] == endpoint for server in one["servers"]}
        return [log for log in found if log.stem in serving] or found

    def environment(self) -> dict[str, str]:
        """The variables that point any AWS or OCI client at it and away from any real account. They hold its secrets:
        whoever has them may do everything here."""
        ports = self._ports()
        return access.variables(self.folder.kubernetes) | {
            "AWS_ENDPOINT_URL": ports.aws_url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": self.folder.secret("aws"),
            "AWS_SESSION_TOKEN": "",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_PROFILE": "default",
            "AWS_CONFIG_FILE": str(self.folder.aws_config),
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
            "ECOMDEPLOY_REGISTRY": f"{LOOPBACK}:{ports.registry}",
            "DOCKER_CONFIG": str(self.folder.containers),
            "REGISTRY_AUTH_FILE": str(self.folder.containers / "config.json"),
        }

    def _bring_up(self, told: Progress, port: int | None = None) -> dict[str, Any]:
        """Its health, once it is ready. Raises as `ensure`."""
        health = self._health()
        if health is None or not health["ready"]:
            with self.folder.lock("start.lock", wait=True):
                if not starting.lives(self.folder, self._health, self.answer_seconds):
                    starting.start(self.folder, self.host, self.home.cache, told, port)
                health = starting.await_ready(self.folder, self._health, told)
        return health

    # ---- talking ----

    def _health(self) -> dict[str, Any] | None:
        daemon = self.folder.daemon()
        if daemon is None:
            return None
        try:
            health = self._ask("GET", "health", seconds=min(10, self.answer_seconds))
        except EcomdeployError:
            return None
        return health if health.get("pid") == daemon.pid else None

    def _ports(self) -> Ports:
        ports = self.folder.ports()
        if ports is None:
            raise EcomdeployError("the local cloud was never started", hint="ecomdeploy cloud start")
        return ports

    def _ask(self, method: str, what: str, body: object = None, *, seconds: float = 60) -> dict[str, Any]:
        connection = HTTPConnection(LOOPBACK, self._ports().aws, timeout=seconds)
        try:
            connection.request(
                method,
                f"/_ecomdeploy/{what}",
                None if body is None else json.dumps(body),
                {
                    "Content-Type": "application/json",
                    "Authorization": f"Bearer {self.folder.secret('admin')}",
                },
            )
            answer = connection.getresponse()
            found = json.loads(answer.read())
        except (OSError, HTTPException, ValueError) as error:
            raise EcomdeployError(
                f"the local cloud does not answer: {error}", hint="ecomdeploy cloud start"
            ) from None
        finally:
            connection.close()
        if answer.status == 400:
            raise BadInput(found["error"], hint=found.get("hint", ""))
        if answer.status != 200:
            raise EcomdeployError(found.get("error", f"the local cloud answered {answer.status}"))
        return cast("dict[str, Any]", found)
