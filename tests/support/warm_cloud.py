"""Daemons of local clouds, each forked from a process that has imported what a daemon imports and has read AWS's
models: such a start costs a tenth of a second of a processor, one of Python's 3 to 4."""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import runpy
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from warm_commands import warm_context

from infra.rehearsal.cloud.addresses import Ports, is_released
from infra.rehearsal.cloud.client import LocalCloud
from infra.rehearsal.cloud.daemon.process import Folder, choose

SERVICES = {
    "application-autoscaling": "applicationautoscaling",
    "cloudwatch": "cloudwatch",
    "ecr": "ecr",
    "iam": "iam",
    "kms": "kms",
    "logs": "logs",
    "s3": "s3",
    "sagemaker": "sagemaker",
    "service-quotas": "servicequotas",
    "ssm": "ssm",
    "sts": "sts",
}
"""Those that a service's stacks need: botocore's name, moto's name."""
AEAD = "cryptography.hazmat.primitives.ciphers.aead"
FOREVER = 10**6
RELEASED_WITHIN = 120.0


@dataclass(frozen=True)
class Start:
    """What a daemon is started with. `host`: file.py:class; `log`: what it says is appended there."""

    root: Path
    ports: Ports
    host: str
    cache: Path
    log: Path
    variables: Mapping[str, str]


def warm() -> None:
    """What a daemon does in its first calls, and what is the same in each."""
    from moto.core.base_backend import AccountSpecificBackend
    from moto.core.utils import get_service_model
    from moto.moto_server import werkzeug_app  # noqa: F401

    from infra.rehearsal.cloud.aws import overlay
    from infra.rehearsal.cloud.aws.refusals.table import RefusalTable
    from infra.rehearsal.cloud.daemon import daemon  # noqa: F401

    for found in pkgutil.iter_modules(overlay.__path__, f"{overlay.__name__}."):
        importlib.import_module(found.name)
    regions = AccountSpecificBackend.get_session()
    for name, folder in SERVICES.items():
        get_service_model(name)
        for partition in regions.get_available_partitions():
            regions.get_available_regions(name, partition_name=partition)
        importlib.import_module(f"moto.{folder}.models")
        importlib.import_module(f"moto.{folder}.urls")
    for module in ("flask.debughelpers", "moto.iam.access_control", AEAD):
        importlib.import_module(module)
    RefusalTable()


def run_daemon(start: Start, told: int) -> int:
    """In the forked process, until the daemon is to stop. It writes its snapshot as it ends: who kills one puts its
    folder back."""
    from infra.rehearsal.cloud.daemon.daemon import Daemon

    os.environ.clear()
    os.environ.update(start.variables)
    log = os.open(start.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.setsid()
    os.chdir("/")
    where, _, name = start.host.rpartition(":")
    host: Any = runpy.run_path(where)[name]
    status = Daemon(Folder(start.root), start.ports, host, start.cache, settle=FOREVER).run(
        lambda: os.close(told)
    )
    sys.stdout.flush()
    return status


def serve(orders: Connection) -> None:
    """Fork a daemon for each order, and say when it listens or has ended."""
    warm()
    gc.freeze()  # what is shared is not looked through, hence not copied
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    while start := orders.recv():
        reading, told = os.pipe()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(reading)
            orders.close()
            os._exit(run_daemon(start, told))
        os.close(told)
        os.read(reading, 1)
        os.close(reading)
        orders.send(None)


class CloudStage:
    """The process that forks, seen from the test."""

    def __init__(self) -> None:
        self.orders, theirs = Pipe()
        self.process = warm_context().Process(target=serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def start(self, cloud: LocalCloud) -> None:
        """One that does not run now, on the ports that it had."""
        ports = cloud.folder.ports() or choose(cloud.folder.root)
        cloud.folder.keep_ports(ports)
        # A killed process is a zombie before the last of its threads has let go of what it listened on.
        assert all(is_released(port, RELEASED_WITHIN) for port in (ports.aws, ports.registry)), ports
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PULUMI_"))}
        self.orders.send(
            Start(cloud.folder.root, ports, cloud.host, cloud.home.cache, cloud.folder.log, kept)
        )
        self.orders.recv()
        assert cloud.folder.daemon(), cloud.folder.log.read_text()[-2000:]
        cloud.ensure()

    def close(self) -> None:
        self.orders.send(None)
        self.process.join()
        self.orders.close()


def kill(cloud: LocalCloud) -> None:
    """At once: nothing more of its state is written. For one whose folder is put back."""
    if daemon := cloud.folder.daemon():
        os.kill(daemon.pid, signal.SIGKILL)
        while daemon.alive:
            time.sleep(0.005)
