"""A local cloud's daemon from free ports to its first answer; once it answers, `client.py` speaks to it."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra.rehearsal.cloud.addresses import Ports, is_released
from infra.rehearsal.cloud.daemon.process import Folder, choose
from modelpack.errors import BadInput, EcomdeployError
from modelpack.inputs.children import child_environment, module_command
from modelpack.progress import Progress

Health = Callable[[], dict[str, Any] | None]
"""What the daemon says of itself; None: there is none, or it does not answer."""
LARGEST_LOG = 8 * 2**20
PATIENCE = 2.0
"""Seconds of waiting before a start explains itself."""
START_SECONDS = 240.0
"""How long a start may take: it includes bringing the model servers of live endpoints back up."""
INHERITED = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|TZ|TMPDIR|LANG|LC_\w+|PYTHONUTF8|XDG_\w+|LD_LIBRARY_PATH|OMP_NUM_THREADS|ECOMDEPLOY_\w+"
)
"""Variables that the daemon is started with."""


def lives(folder: Folder, health: Health, seconds: float) -> bool:
    """Whether a daemon answers and means to go on; one that is just ending is waited for.

    Raises:
        EcomdeployError: one runs and has not answered for so many `seconds`.
    """
    deadline = time.monotonic() + seconds
    while daemon := folder.daemon():
        found = health()
        if found and not found["ending"]:
            return True
        if time.monotonic() > deadline:
            raise EcomdeployError(
                f"the local cloud runs (pid {daemon.pid}) but does not answer", hint=f"kill -9 {daemon.pid}"
            )
        time.sleep(0.05)
    return False


def start(folder: Folder, host: str, cache: Path, progress: Progress, port: int | None) -> None:
    """Start one that does not run; it listens then. `host`, `cache`: as `LocalCloud` has them.

    Raises:
        BadInput: the port is in use by another program.
        EcomdeployError: it did not start; with its last words.
    """
    ports = choose_ports(folder, port)
    progress.note("Starting the local cloud; nothing leaves this machine.")
    # It outlives this command: what else is in the variables, secrets among them, is none of its business.
    inherited = {name: value for name, value in os.environ.items() if INHERITED.fullmatch(name)}
    command = module_command("infra.rehearsal.cloud", "--root", str(folder.root))
    command += ["--aws-port", str(ports.aws), "--registry-port", str(ports.registry), "--host", host]
    command += ["--cache", str(cache)]
    large = folder.log.exists() and folder.log.stat().st_size > LARGEST_LOG
    with folder.log.open("wb" if large else "ab") as log:
        # The launcher returns when the daemon, its detached child, listens on both ports.
        started = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=child_environment(inherited),
            start_new_session=True,
            check=False,
        )
    if started.returncode != 0:
        words = "\n".join(folder.log.read_text(errors="replace").splitlines()[-5:])
        raise EcomdeployError(
            f"the local cloud did not start on port {ports.aws}:\n{words}", hint=f"see {folder.log}"
        )


def choose_ports(folder: Folder, port: int | None) -> Ports:
    """Those of the last start where they are free, `port` for AWS's where it is given. Raises BadInput."""
    chosen = folder.ports() or choose(folder.root, port)
    if port is not None and chosen.aws != port:
        registry = chosen.registry if chosen.registry != port else choose(folder.root, port).registry
        chosen = Ports(aws=port, registry=registry)
    if not is_released(chosen.aws):
        other = choose(folder.root).aws
        raise BadInput(
            f"port {chosen.aws} is in use by another program", hint=f"ecomdeploy cloud start --port {other}"
        )
    if not is_released(chosen.registry):
        chosen = Ports(aws=chosen.aws, registry=choose(folder.root, chosen.aws).registry)
    folder.keep_ports(chosen)
    return chosen


def await_ready(folder: Folder, health: Health, progress: Progress) -> dict[str, Any]:
    """Its health, once all that it had answers again.

    Raises:
        EcomdeployError: it ended, or was not ready within `START_SECONDS`.
    """
    deadline = time.monotonic() + START_SECONDS
    said = False
    while time.monotonic() < deadline:
        found = health()
        if found is None:
            raise EcomdeployError("the local cloud ended while it started", hint=f"see {folder.log}")
        if found["ready"]:
            return found
        if not said and time.monotonic() > deadline - START_SECONDS + PATIENCE:
            progress.note(explain_wait(folder))
            said = True
        time.sleep(0.05)
    raise EcomdeployError(
        f"the local cloud was not ready within {START_SECONDS:g} s", hint=f"see {folder.log}"
    )


def explain_wait(folder: Folder) -> str:
    """What a start takes its time for: one that has kept nothing has no endpoints to bring back."""
    if folder.snapshot.exists():
        return "Bringing the model servers of live endpoints back up."
    return "Loading what the local cloud emulates AWS with."
