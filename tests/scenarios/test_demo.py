"""`make demo`'s program, as it stands, in an empty folder and an empty home."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from typed import ROOT, Terminal

pytestmark = [pytest.mark.slow, pytest.mark.network]


def test_the_demo_tells_the_story(terminal: Terminal) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py"), "demo-shop"],
        cwd=terminal.folder, env=terminal.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    last = done.stdout.strip().splitlines()
    assert "nothing leaves" in done.stdout.lower()
    assert last[-1].startswith("Next: cd demo-shop && ")
    counted = re.search(r"(\d+) requests, 0 failed", done.stdout)
    assert counted is not None
    assert int(counted[1]) > 100
    for words in ("#1 as trained", "#2 optimized", "#3 wrong answers: refused", "the bytes of #1"):
        assert words in done.stdout
