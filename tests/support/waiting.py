"""Waiting for what must come, however busy the machine is: never for a length of time."""

from __future__ import annotations

import time
from collections.abc import Callable

SECONDS = 300.0
"""Less than a test may take (`timeout` in pyproject.toml), so that what never comes is told by the test's own line."""


def wait_for(condition: Callable[[], object], seconds: float = SECONDS) -> None:
    """Ask until the condition holds.

    Raises:
        AssertionError: it did not in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds:.0f} s"
        time.sleep(0.02)
