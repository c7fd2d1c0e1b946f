"""Command lines in processes of their own that are forked from one which has imported what commands import.

To start Python and import costs 0.3 to 2.5 seconds of a processor, and the suite types hundreds of commands. Each still
has a process, arguments, folder and variables of its own, and ends by its own exit code. Where a variable is another
that Python or a package reads as it starts, a command is started anew.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import TextIO

ROOT, SUPPORT = Path(__file__).parents[2], Path(__file__).parent
READ_LATE = ("AWS_", "ECOMDEPLOY_", "PULUMI_", "PATH", "PYTHONPATH", "PYTEST_")


@cache
def begun() -> Mapping[str, str]:
    """The variables with which the process that forks was started: by the first who asks, for a whole test process."""
    variables = dict(os.environ)
    os.environ |= {"PYTHONPATH": f"{ROOT}:{SUPPORT}", "GRPC_VERBOSITY": "ERROR"}  # as cli/app.py
    try:
        multiprocessing.get_context("forkserver").set_forkserver_preload(["warm_imports"])
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(variables)
    return variables


def warm_context() -> ForkServerContext:
    """What forks."""
    begun()
    return multiprocessing.get_context("forkserver")


def is_warm(variables: Mapping[str, str]) -> bool:
    """Whether a command with these would start as one that is forked does."""
    then = begun()
    names = [name for name in variables.keys() | then.keys() if not name.startswith(READ_LATE)]
    return all(variables.get(name) == then.get(name) for name in names)


def run_warm(
    arguments: Sequence[str], folder: Path, variables: Mapping[str, str], seconds: float
) -> tuple[int, str, str]:
    """Exit code (negative for a signal), stdout and stderr of `ecomdeploy <arguments>`.

    Raises:
        TimeoutError: it took longer than `seconds`; it was ended.
    """
    with tempfile.TemporaryDirectory() as scratch:
        out, err = (Path(scratch) / name for name in ("out", "err"))
        process = warm_context().Process(
            target=run_command, args=(list(arguments), folder, dict(variables), out, err)
        )
        process.start()
        process.join(seconds)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutError(f"{arguments}: not over after {seconds:.0f} s\n{err.read_text()}")
        return process.exitcode, out.read_text(), err.read_text()


def start_warm(
    arguments: Sequence[str], folder: Path, variables: Mapping[str, str], *, session: bool = False
) -> tuple[ForkServerProcess, TextIO]:
    """The process, and what it says on stderr as it says it. `session`: it leads a process group of its own."""
    reading, writing = multiprocessing.Pipe(duplex=False)
    nothing = Path(os.devnull)
    process = warm_context().Process(
        target=run_command, args=(list(arguments), folder, dict(variables), nothing, writing, session)
    )
    process.start()
    writing.close()
    said = open(os.dup(reading.fileno()), encoding="utf-8")  # noqa: SIM115 - the caller's
    reading.close()
    return process, said


def run_command(
    arguments: list[str],
    folder: Path,
    variables: Mapping[str, str],
    out: Path,
    err: Path | Connection,
    session: bool = False,
) -> None:
    """The process."""
    if session:
        os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    sys.path[:] = ["", *(path for path in sys.path if path not in ("", str(SUPPORT)))]
    sys.argv = ["ecomdeploy", *arguments]
    for number, place in ((1, out), (2, err)):
        file = place.open("wb") if isinstance(place, Path) else place
        os.dup2(file.fileno(), number)
        file.close()
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from cli.app import main

    main()
