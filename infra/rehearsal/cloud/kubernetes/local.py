"""The local Kubernetes as a whole: its control plane and our parts brought up, watched over, ended, remembered."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from infra.kubernetes.client import KubernetesClient, KubernetesRefused, KubernetesUnreachable
from infra.rehearsal.cloud.addresses import LOOPBACK
from infra.rehearsal.cloud.kubernetes import gateway_api
from infra.rehearsal.cloud.kubernetes.basics import basics
from infra.rehearsal.cloud.kubernetes.binaries import NAMES, Binaries
from infra.rehearsal.cloud.kubernetes.certificates import Certificates
from infra.rehearsal.cloud.kubernetes.control_plane import (
    answers,
    control_plane,
    write_kubeconfigs,
    write_logins,
)
from infra.rehearsal.cloud.kubernetes.keda import programs as keda
from infra.rehearsal.cloud.kubernetes.keda.install import INSTALL_KEDA, load_definitions
from infra.rehearsal.cloud.kubernetes.left import ENDED, end_left
from infra.rehearsal.cloud.kubernetes.parts import PARTS, Images, part, there
from infra.rehearsal.cloud.kubernetes.places import KubernetesPlaces
from infra.rehearsal.cloud.kubernetes.processes import Keeper, ProcessRecord, Program
from infra.rehearsal.cloud.own_files import claim_folder, read_own
from modelpack.errors import BadInput, EcomdeployError
from modelpack.home import write_atomically

State = Literal["stopped", "starting", "ready", "failed"]
START_SECONDS = 240.0
"""How long a start may take on a busy machine: on an idle one it is ten."""
MOST_STARTS = 6
"""Of a part of ours before a start gives up; it is started again all the same."""
LOOK_SECONDS = 0.05
OWNER = "ecomdeploy-local-cloud"
"""Field manager of what a start applies."""


@dataclass(frozen=True, kw_only=True)
class StartRequest:
    """What a start is asked for: the binaries, and the folder of the Gateway API's definitions."""

    binaries: Binaries
    definitions: Path

    def as_data(self) -> dict[str, Any]:
        return {
            "binaries": dict(self.binaries.paths),
            "found": self.binaries.found,
            "definitions": str(self.definitions),
        }

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> StartRequest:
        """Raises KeyError, TypeError for what is none."""
        binaries = Binaries.of(found["binaries"], str(found["found"]))
        return cls(binaries=binaries, definitions=Path(found["definitions"]))


@dataclass
class LocalKubernetes:
    """One per folder. `images` are the node agent's; `parts` those of PARTS that are started; `variables` what these
    are given; `seconds` how long a start may take. All methods may be called from any thread; `start`
    returns at once, `state` tells how far it is."""

    places: KubernetesPlaces
    images: Images
    parts: Sequence[str] = field(default_factory=there)
    variables: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    seconds: float = START_SECONDS
    logins: str = field(default="", repr=False)
    """Where the API server asks whom a token is; "": nowhere."""
    state: State = "stopped"
    reason: str = ""
    _keepers: dict[str, Keeper] = field(default_factory=dict)
    _request: StartRequest | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _ending: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    # ---- asked from outside ----

    def start(self, request: StartRequest) -> None:
        """Bring it up unless it is, or is coming up; other binaries than it runs on take effect with the next start.
        What a start that failed left is ended first."""
        with self._lock:
            if self.state in ("starting", "ready"):
                return
            claim_folder(self.places.root)
            write_atomically(self.places.wanted, json.dumps(request.as_data()).encode(), private=True)
            self._request = request
            self._ending.clear()
            self._begin(partial(self._start_all, request))

    def add_keda(self, folder: Path) -> None:
        """Run KEDA of that install (keda/install.py) beside the rest, from now on; nothing where it runs, or while all
        of it comes up. Raises BadInput where the rest does not run."""
        with self._lock:
            if self.state == "starting" or (self.state == "ready" and keda.OPERATOR in self._keepers):
                return
            if self.state != "ready":
                raise BadInput(f"KEDA takes a Kubernetes that runs, and this one is {self.state}")
            write_atomically(self.places.keda, json.dumps({"folder": str(folder)}).encode(), private=True)
            self._begin(self._start_keda)

    def resume(self) -> None:
        """Bring it up if it ran when the local cloud last ended, however that was."""
        try:
            kept = read_own(self.places.wanted)
        except FileNotFoundError:
            return
        except EcomdeployError as error:
            self.state, self.reason = "failed", str(error)
            return
        try:
            self.start(StartRequest.read(json.loads(kept)))
        except (EcomdeployError, OSError, ValueError, KeyError, TypeError) as error:
            # the rest of the local cloud runs without it
            self.state, self.reason = "failed", f"{self.places.wanted} cannot be used: {error}"

    def stop(self) -> None:
        """End all of it, also what a killed local cloud left and no start took over; its data stay, and it comes back
        with the local cloud."""
        with self._lock:
            self._ending.set()
            if self._thread is not None:
                self._thread.join()
            self._end()
            end_left(self.places)
            self._request = None
            self.state, self.reason = "stopped", ""

    def forget(self) -> None:
        """End all of it, and stay away when the local cloud starts again; its data stay."""
        with self._lock:
            self.stop()
            self.places.wanted.unlink(missing_ok=True)

    def reset(self) -> None:
        """End all of it and remove everything it had."""
        with self._lock:
            self.forget()
            shutil.rmtree(self.places.root, ignore_errors=True)

    def status(self) -> dict[str, Any]:
        """What `cloud kubernetes status` shows."""
        found: dict[str, Any] = {"state": self._look_at(), "reason": self.reason}
        if self._request is not None:
            with contextlib.suppress(FileNotFoundError, KeyError):
                ports = self.places.ports()
                found |= {
                    "kubeconfig": str(self.places.kubeconfig),
                    "gateway": f"http://{LOOPBACK}:{ports.gateway}",
                    "binaries": self._request.binaries.found,
                }
                if "prometheus" in self._keepers:
                    found["prometheus"] = f"http://{LOOPBACK}:{ports.prometheus}"
        found["processes"] = [
            {
                "name": name,
                "pid": identity.pid if (identity := keeper.identity) else None,
                "starts": keeper.starts,
            }
            for name, keeper in list(self._keepers.items())
        ]
        return found

    def _look_at(self) -> State:
        """What is ready is not while a process of it is being started again."""
        ports = [keeper.program.port for keeper in list(self._keepers.values())]
        whole = all(listens(port) for port in ports)
        return "starting" if self.state == "ready" and not whole else self.state

    def _keepers_of(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if name in self._keepers]

    def _end(self) -> None:
        with ThreadPoolExecutor(len(NAMES)) as pool:
            for together in ENDED:
                list(pool.map(lambda name: self._keepers[name].stop(), self._keepers_of(together)))
        self._keepers.clear()

    # ---- coming up ----

    def _begin(self, bring_up: Callable[[float], None]) -> None:
        self.state, self.reason = "starting", ""
        self._thread = threading.Thread(target=self._try, args=(bring_up,), daemon=True)
        self._thread.start()

    def _try(self, bring_up: Callable[[float], None]) -> None:
        try:
            bring_up(time.monotonic() + self.seconds)
        except _Ended:
            return
        except (EcomdeployError, OSError) as error:
            self.state, self.reason = "failed", str(error)
            return
        except Exception as error:  # whatever it is: who waits for the start is told at once
            traceback.print_exc()
            self.state, self.reason = "failed", f"{type(error).__name__}: {error}"
            return
        self.state = "ready"

    def _start_all(self, request: StartRequest, deadline: float) -> None:
        self._end()
        Certificates(self.places.certificates).ensure()
        ports = self.places.choose_ports(running=self._any_runs())
        write_kubeconfigs(self.places, ports)
        write_logins(self.places, self.logins)
        self._keep(control_plane(self.places, ports, request.binaries))
        self._wait("the API server", lambda: answers(self.places, ports), deadline)
        self._keep(
            part(name, self.places, ports, self.images, self.variables)
            for name in PARTS
            if name in self.parts
        )
        with contextlib.closing(KubernetesClient(self.places.kubeconfig)) as client:
            self._furnish(client, request, deadline)
        self._await_up(PARTS, deadline)
        if self.places.keda.exists():
            self._start_keda(deadline)

    def _start_keda(self, deadline: float) -> None:
        folder, ports = Path(json.loads(read_own(self.places.keda))["folder"]), self.places.ports()
        with contextlib.closing(KubernetesClient(self.places.kubeconfig)) as client:
            if not folder.is_dir():
                self.reason = f"nothing scales by KEDA, which is not in {folder} any more: {INSTALL_KEDA}"
                client.delete(keda.METRICS_API)  # which nobody answers: no namespace could be deleted
                return
            for obj in (*load_definitions(folder), *keda.objects(self.places, ports)):
                self._apply(client, obj, deadline)
            self._keep(keda.programs(folder, self.places, ports))
            self._await_up(keda.NAMES, deadline)
            self._wait(keda.ADAPTER, lambda: keda.is_available(client), deadline)

    def _await_up(self, names: Sequence[str], deadline: float) -> None:
        for name in self._keepers_of(names):
            keeper = self._keepers[name]
            self._wait(name, partial(self._is_up, keeper, keeper.starts), deadline)

    def _is_up(self, keeper: Keeper, before: int) -> bool:
        """Whether a part of ours listens. Raises EcomdeployError for one that only ever ends."""
        if listens(keeper.program.port):
            return True
        if keeper.starts - before > MOST_STARTS:
            said = keeper.log.read_text(errors="replace").strip() if keeper.log.exists() else ""
            raise EcomdeployError(
                f"{keeper.program.name} ends again and again: {said.rpartition(chr(10))[2]}"
            )
        return False

    def _furnish(self, client: KubernetesClient, request: StartRequest, deadline: float) -> None:
        """Wait for the controllers, and apply what a cluster here has from its start."""
        self._wait(
            "the controller manager",
            lambda: client.get("v1", "ServiceAccount", "default", "default"),
            deadline,
        )
        for definition in gateway_api.load(request.definitions):
            self._apply(client, definition, deadline)
        for obj in basics():
            # a kind is served some seconds after its definition is there
            self._wait(obj["kind"], partial(client.knows, obj["apiVersion"], obj["kind"]), deadline)
            self._apply(client, obj, deadline)

    def _apply(self, client: KubernetesClient, obj: dict[str, Any], deadline: float) -> None:
        self._wait(obj["metadata"]["name"], lambda: client.apply(obj, OWNER, force=True), deadline)

    def _wait(self, what: str, reached: Callable[[], object], deadline: float) -> None:
        """Ask until it is so. A server that is being restarted, or is not there yet, is waited for."""
        last = ""
        while not self._ending.is_set():
            try:
                if reached():
                    return
            except KubernetesUnreachable as error:
                last = f": {error}"
            except KubernetesRefused as error:
                if error.status not in (403, 404, 409, 429) and error.status < 500:
                    raise
                last = f": {error}"
            if time.monotonic() > deadline:
                raise EcomdeployError(
                    f"{what} was not there within {self.seconds:g} s{last}{self._words(what)}"
                )
            self._ending.wait(LOOK_SECONDS)
        raise _Ended

    def _any_runs(self) -> bool:
        return any(ProcessRecord(self.places.records / f"{name}.json").read() for name in (*NAMES, *PARTS))

    def _words(self, what: str) -> str:
        log = self.places.logs / f"{'kube-apiserver' if what == 'the API server' else what}.log"
        return f"; see {log if log.exists() else self.places.logs}"

    def _keep(self, programs: Sequence[Program] | Any) -> None:
        for program in programs:
            if program.name not in self._keepers:
                log = self.places.logs / f"{program.name}.log"
                self._keepers[program.name] = Keeper(program, self.places.records, log)
                self._keepers[program.name].start()


class _Ended(Exception):
    """It was stopped while it came up."""


def listens(port: int) -> bool:
    """Whether somebody takes connections on this port."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=5).close()
    except OSError:
        return False
    return True
