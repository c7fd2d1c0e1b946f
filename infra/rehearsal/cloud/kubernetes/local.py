"""The local Kubernetes as a whole: its control plane and our parts brought up, watched over, ended, remembered."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from infra.kubernetes.client import KubernetesClient
from infra.rehearsal.cloud.addresses import LOOPBACK
from infra.rehearsal.cloud.kubernetes import gateway_api
from infra.rehearsal.cloud.kubernetes.addons.prometheus import PROMETHEUS
from infra.rehearsal.cloud.kubernetes.addons.running import RunningAddons
from infra.rehearsal.cloud.kubernetes.basics import basics
from infra.rehearsal.cloud.kubernetes.binaries import NAMES, Binaries
from infra.rehearsal.cloud.kubernetes.certificates import Certificates
from infra.rehearsal.cloud.kubernetes.control_plane import (
    answers,
    control_plane,
    write_kubeconfigs,
    write_logins,
)
from infra.rehearsal.cloud.kubernetes.left import ENDED, end_left
from infra.rehearsal.cloud.kubernetes.parts import PARTS, Images, part, there
from infra.rehearsal.cloud.kubernetes.places import KubernetesPlaces
from infra.rehearsal.cloud.kubernetes.processes import Keeper, ProcessRecord
from infra.rehearsal.cloud.kubernetes.start_up import StartUp, State
from infra.rehearsal.cloud.own_files import claim_folder, read_own
from modelpack.errors import BadInput, EcomdeployError
from modelpack.home import write_atomically

START_SECONDS = 240.0
"""How long a start may take on a busy machine: on an idle one it is ten."""


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
    _request: StartRequest | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self._start_up = StartUp(self.places, self.seconds)
        self._addons = RunningAddons(self.places, self.seconds)

    @property
    def state(self) -> State:
        return self._start_up.state

    @property
    def reason(self) -> str:
        """Why it failed."""
        return self._start_up.reason

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
            self._start_up.begin(partial(self._bring_up, request))

    def add_addon(self, name: str, folder: Path) -> None:
        """Run that add-on of that install (addons/source.py) beside the rest, from now on; nothing where it runs, or
        comes up. Raises BadInput where the rest does not run."""
        with self._lock:
            if self.state != "ready":
                raise BadInput(f"{name} takes a Kubernetes that runs, and this one is {self.state}")
            self._addons.add(name, folder)

    def resume(self) -> None:
        """Bring it up if it ran when the local cloud last ended, however that was."""
        try:
            kept = read_own(self.places.wanted)
        except FileNotFoundError:
            return
        except EcomdeployError as error:
            self._fail(str(error))
            return
        try:
            self.start(StartRequest.read(json.loads(kept)))
        except (EcomdeployError, OSError, ValueError, KeyError, TypeError) as error:
            # the rest of the local cloud runs without it
            self._fail(f"{self.places.wanted} cannot be used: {error}")

    def _fail(self, reason: str) -> None:
        self._start_up.state, self._start_up.reason = "failed", reason

    def stop(self) -> None:
        """End all of it, also what a killed local cloud left and no start took over; its data stay, and it comes back
        with the local cloud."""
        with self._lock:
            self._start_up.interrupt()
            self._end()
            end_left(self.places)
            self._request = None
            self._start_up.state, self._start_up.reason = "stopped", ""

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

    @property
    def keepers(self) -> dict[str, Keeper]:
        """Of all its processes, by name."""
        found = [*list(self._start_up.keepers.values()), *self._addons.keepers()]
        return {keeper.program.name: keeper for keeper in found}

    def status(self) -> dict[str, Any]:
        """What `cloud kubernetes status` shows."""
        state, reason = self._start_up.look()
        found: dict[str, Any] = {"state": state, "reason": reason}
        if self._request is not None:
            with contextlib.suppress(FileNotFoundError, KeyError):
                ports = self.places.ports()
                found |= {
                    "kubeconfig": str(self.places.kubeconfig),
                    "gateway": f"http://{LOOPBACK}:{ports.gateway}",
                    "binaries": self._request.binaries.found,
                }
                if PROMETHEUS in self._start_up.keepers:
                    found["prometheus"] = f"http://{LOOPBACK}:{ports.prometheus}"
        found["addons"] = self._addons.status()
        found["processes"] = [
            {
                "name": name,
                "pid": identity.pid if (identity := keeper.identity) else None,
                "starts": keeper.starts,
            }
            for name, keeper in self.keepers.items()
        ]
        return found

    def _end(self) -> None:
        self._addons.interrupt()
        keepers = self.keepers
        with ThreadPoolExecutor(len(NAMES)) as pool:
            for together in ENDED:
                list(pool.map(lambda name: keepers[name].stop(), (one for one in together if one in keepers)))
        self._start_up.keepers.clear()
        self._addons.forget()

    # ---- coming up ----

    def _bring_up(self, request: StartRequest, deadline: float) -> None:
        self._end()
        start = self._start_up
        Certificates(self.places.certificates).ensure()
        ports = self.places.choose_ports(running=self._any_runs())
        write_kubeconfigs(self.places, ports)
        write_logins(self.places, self.logins)
        start.keep(control_plane(self.places, ports, request.binaries))
        start.wait("the API server", lambda: answers(self.places, ports), deadline)
        start.keep(
            part(name, self.places, ports, self.images, self.variables)
            for name in PARTS
            if name in self.parts
        )
        with contextlib.closing(KubernetesClient(self.places.kubeconfig)) as client:
            self._furnish(client, request, deadline)
        start.await_up(PARTS, deadline)
        self._addons.resume()

    def _furnish(self, client: KubernetesClient, request: StartRequest, deadline: float) -> None:
        """Wait for the controllers, and apply what a cluster here has from its start."""
        start = self._start_up
        start.wait(
            "the controller manager",
            lambda: client.get("v1", "ServiceAccount", "default", "default"),
            deadline,
        )
        for definition in gateway_api.load(request.definitions):
            start.apply(client, definition, deadline)
        for obj in basics():
            # a kind is served some seconds after its definition is there
            start.wait(obj["kind"], partial(client.knows, obj["apiVersion"], obj["kind"]), deadline)
            start.apply(client, obj, deadline)

    def _any_runs(self) -> bool:
        return any(ProcessRecord(self.places.records / f"{name}.json").read() for name in (*NAMES, *PARTS))
