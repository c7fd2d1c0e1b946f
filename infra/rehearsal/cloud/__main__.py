"""`python -m infra.rehearsal.cloud`: detach, and return once the daemon listens (0) or could not start (1)."""

from __future__ import annotations

import argparse
import importlib
import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra.rehearsal.cloud.addresses import Ports
from infra.rehearsal.cloud.daemon.process import Folder


def main(arguments: list[str]) -> int:
    """The launcher's side waits for one byte; the daemon's side never returns."""
    parser = argparse.ArgumentParser(prog="python -m infra.rehearsal.cloud", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder of its state")
    parser.add_argument("--aws-port", type=int, required=True)
    parser.add_argument("--registry-port", type=int, required=True)
    parser.add_argument(
        "--host",
        default="infra.rehearsal.cloud.servers.models:ModelHost",
        help="what runs model servers, module:class or file.py:class",
    )
    parser.add_argument("--cache", type=Path, help="where the control plane's binaries are kept")
    parser.add_argument("--foreground", action="store_true", help="do not detach")
    chosen = parser.parse_args(arguments)
    if chosen.foreground:
        return _serve(chosen, ready=lambda: None)
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        return 0 if os.read(reader, 1) else 1
    os.close(reader)
    os.setsid()

    def ready() -> None:
        os.write(writer, b"1")
        os.close(writer)

    status = _serve(chosen, ready)
    sys.stdout.flush()
    os._exit(status)  # not taking hundreds of megabytes of objects apart first


def _serve(chosen: argparse.Namespace, ready: Callable[[], None]) -> int:
    from infra.rehearsal.cloud.daemon.daemon import Daemon

    daemon = Daemon(
        Folder(chosen.root),
        Ports(aws=chosen.aws_port, registry=chosen.registry_port),
        _load(chosen.host),
        chosen.cache,
    )
    return daemon.run(ready)


def _load(where: str) -> Any:
    module, _, name = where.rpartition(":")
    if not module.endswith(".py"):
        return getattr(importlib.import_module(module), name)
    return runpy.run_path(module)[name]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
