"""Coming up: programs kept running, and what they do waited for, in a thread of its own."""

from __future__ import annotations

import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from infra.kubernetes.client import KubernetesClient, KubernetesRefused, KubernetesUnreachable
from infra.rehearsal.cloud.addresses import LOOPBACK
from infra.rehearsal.cloud.kubernetes.places import KubernetesPlaces
from infra.rehearsal.cloud.kubernetes.processes import Keeper, Program
from modelpack.errors import EcomdeployError

State = Literal["stopped", "starting", "ready", "failed"]
MOST_STARTS = 6
"""Of a part in a row before a start gives up; it is started again all the same."""
LOOK_SECONDS = 0.05
OWNER = "ecomdeploy-local-cloud"
"""Field manager of what a start applies."""


class StartEnded(Exception):
    """It was stopped while it came up."""


@dataclass
class StartUp:
    """What comes up together: the control plane with our parts, or an add-on. `seconds`: how long it may take. All
    methods may be called from any thread."""

    places: KubernetesPlaces
    seconds: float
    state: State = "stopped"
    reason: str = ""
    keepers: dict[str, Keeper] = field(default_factory=dict)
    ending: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def begin(self, bring_up: Callable[[float], None]) -> None:
        """Have it done from now on; it is given the deadline, and may raise StartEnded."""
        self.ending.clear()
        self.state, self.reason = "starting", ""
        self._thread = threading.Thread(target=self._try, args=(bring_up,), daemon=True)
        self._thread.start()

    def interrupt(self) -> None:
        """Come up no further; returns when nothing here does."""
        self.ending.set()
        if self._thread is not None:
            self._thread.join()

    def look(self) -> tuple[State, str]:
        """How far it is. What was ready is not while a process of it is being started again."""
        if self.state != "ready":
            return self.state, self.reason
        for keeper in list(self.keepers.values()):
            if not listens(keeper.program.port):
                failed = keeper.failures > MOST_STARTS
                return ("failed", tell_failure(keeper)) if failed else ("starting", self.reason)
        return self.state, self.reason

    def _try(self, bring_up: Callable[[float], None]) -> None:
        try:
            bring_up(time.monotonic() + self.seconds)
        except StartEnded:
            return
        except (EcomdeployError, OSError) as error:
            self.state, self.reason = "failed", str(error)
            return
        except Exception as error:  # whatever it is: who waits for the start is told at once
            traceback.print_exc()
            self.state, self.reason = "failed", f"{type(error).__name__}: {error}"
            return
        self.state = "ready"

    # ---- the steps ----

    def keep(self, programs: Iterable[Program]) -> None:
        """Have these run from now on."""
        for program in programs:
            if program.name not in self.keepers:
                log = self.places.logs / f"{program.name}.log"
                self.keepers[program.name] = Keeper(program, self.places.records, log)
                self.keepers[program.name].start()

    def await_up(self, names: Iterable[str], deadline: float) -> None:
        """Until those of them that are kept listen. Raises EcomdeployError for one that only ever ends."""
        for keeper in (self.keepers[name] for name in names if name in self.keepers):
            self.wait(keeper.program.name, partial(_is_up, keeper), deadline)

    def apply(self, client: KubernetesClient, obj: dict[str, Any], deadline: float) -> None:
        """Have an object be so."""
        self.wait(obj["metadata"]["name"], lambda: client.apply(obj, OWNER, force=True), deadline)

    def wait(self, what: str, reached: Callable[[], object], deadline: float) -> None:
        """Ask until it is so. A server that is being restarted, or is not there yet, is waited for."""
        last = ""
        while not self.ending.is_set():
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
            self.ending.wait(LOOK_SECONDS)
        raise StartEnded

    def _words(self, what: str) -> str:
        log = self.places.logs / f"{'kube-apiserver' if what == 'the API server' else what}.log"
        return f"; see {log if log.exists() else self.places.logs}"


def _is_up(keeper: Keeper) -> bool:
    if listens(keeper.program.port):
        return True
    if keeper.failures > MOST_STARTS:
        raise EcomdeployError(tell_failure(keeper))
    return False


def tell_failure(keeper: Keeper) -> str:
    """Of a program that only ever ends: its last words."""
    said = keeper.log.read_text(errors="replace").strip() if keeper.log.exists() else ""
    return f"{keeper.program.name} ends again and again: {said.rpartition(chr(10))[2]}; see {keeper.log}"


def listens(port: int) -> bool:
    """Whether somebody takes connections on this port."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=5).close()
    except OSError:
        return False
    return True
