"""Python processes that we start: they import what this one's installation has, and nothing that merely lies about.

A file named like a module in the folder a command is typed in, or on PYTHONPATH, would otherwise run in place of the
real one. So the child ignores PYTHON* variables (-E) and its working folder (-P); our own packages it is told.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import modelpack
from modelpack.errors import EcomdeployError

PIP_SECONDS = 900
"""How long one call of pip may take: it may have a gigabyte to fetch."""
BROKEN = "after connection broken by"
"""pip's words, when it asks its index again."""
ISOLATED = (sys.executable, "-E", "-P")
OURS = str(Path(modelpack.__file__).parents[1])
RUN = (
    "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); module = sys.argv.pop(1);"
    " runpy.run_module(module, run_name='__main__', alter_sys=True)"
)
STEERING = frozenset({"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONUSERBASE"})


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs one of our own modules."""
    return [*ISOLATED, "-c", RUN, OURS, module, *arguments]


def pip_command(*arguments: str) -> list[str]:
    """The command that runs this installation's pip."""
    return [*ISOLATED, "-m", "pip", *arguments]


def run_pip(purpose: str, *arguments: str) -> tuple[bool, str]:
    """Whether it went well, and all that it said on stderr. Raises EcomdeployError when it does not end."""
    command = pip_command("--quiet", "--disable-pip-version-check", "--no-input", *arguments)
    environment = child_environment()
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=PIP_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise EcomdeployError(f"cannot {purpose}: no answer from pip in {PIP_SECONDS} s") from None
    return done.returncode == 0, done.stderr


def reason_of(said: str) -> str:
    """Of what pip said the last line that is an error, or the last; of an index that it did not reach, why."""
    lines = said.splitlines()
    if why := find_unreached(said):
        return f"the package index was not reached: {why}"
    return next(
        iter([line for line in lines if line.startswith("ERROR")][-1:] or lines[-1:]), "pip gave no reason"
    )


def find_unreached(said: str) -> str:
    """Why pip did not reach its index, "" where it did: in the end it says no more than that there are no versions."""
    broken = [line for line in said.splitlines() if BROKEN in line]
    return broken[-1].partition(BROKEN)[2].strip() if broken and "(from versions: none)" in said else ""


def child_environment(given: Mapping[str, str] = os.environ, /, **more: str) -> dict[str, str]:
    """Variables for a child and for what it starts in turn: none that says where Python code is found."""
    return (
        {name: value for name, value in given.items() if name not in STEERING}
        | {"PYTHONSAFEPATH": "1"}
        | more
    )
