"""A worker of `make test` that dies is told with its test, by the options that the Makefile gives."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

CRASHING = """
import os, pytest

@pytest.mark.parametrize("number", range(3))
def test_it(number):
    if __file__.endswith("test_b.py") and number == 1:
        os.kill(os.getpid(), 9)
"""


def spread(repository: Path) -> list[str]:
    """How `make test` spreads its tests."""
    (line,) = re.findall(r"^SPREAD := -n \$\(WORKERS\) (.*)$", (repository / "Makefile").read_text(), re.M)
    return shlex.split(line)


def test_a_worker_that_is_killed_is_told_with_its_test_and_the_run_ends(
    tmp_path: Path, repository: Path
) -> None:
    for name in "abcd":
        (tmp_path / f"test_{name}.py").write_text(CRASHING)
    command = [sys.executable, "-m", "pytest", "-n", "2", *spread(repository), "-p", "no:cacheprovider", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout
    assert re.search(r"worker 'gw\d' crashed while running 'test_b.py::test_it\[1\]'", done.stdout)
    assert re.search(r"\b1 failed\b", done.stdout), done.stdout
    assert "INTERNALERROR" not in done.stdout
