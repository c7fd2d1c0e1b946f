"""Run Python as an ordinary user of this machine (65534), which only root can: what others may do, or must not."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

ORDINARY = 65534
ROOT = pathlib.Path(__file__).resolve().parents[2]
VERSION = f"python{sys.version_info[0]}.{sys.version_info[1]}"


def run_as_ordinary_user(
    script: str, *arguments: str, home: pathlib.Path | None, seconds: float = 300, user: int = ORDINARY
) -> subprocess.CompletedProcess[str]:
    """The script with this repository, its tests' support and our dependencies; `home`: None leaves HOME out. Skips
    where that is not possible."""
    if os.geteuid() != 0:
        pytest.skip("only root can act as another user")
    dependencies = pathlib.Path(pytest.__file__).parents[1]
    folders = [ROOT, ROOT / "tests/support", ROOT / "tests/infra", dependencies]
    return subprocess.run(
        [_interpreter(), "-c", script, *arguments],
        user=user,
        group=user,
        extra_groups=[],
        env={"PYTHONPATH": os.pathsep.join(map(str, folders)), "PATH": "/usr/bin:/bin"}
        | ({"HOME": str(home)} if home else {}),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )


def _interpreter() -> str:
    """One of our version that the ordinary user may run: ours may lie in root's own home."""
    for python in (sys.executable, f"/usr/bin/{VERSION}", f"/usr/local/bin/{VERSION}"):
        try:
            subprocess.run(
                [python, "-c", ""], user=ORDINARY, group=ORDINARY, extra_groups=[], cwd="/", check=True
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    pytest.skip(f"an ordinary user of this machine has no {VERSION}")
