"""A program of the local cloud hears its signals, whatever its main thread was at."""

from __future__ import annotations

import subprocess
import sys

import pytest
from waiting import SECONDS

HELD = """
import signal, sys, threading
from infra.rehearsal.cloud.signals import hear_signals

ending = threading.Event()
hear_signals(ending)
with ending._cond:
    signal.raise_signal(getattr(signal, sys.argv[1]))
ending.wait()
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_that_comes_while_the_events_lock_is_held(name: str) -> None:
    subprocess.run([sys.executable, "-c", HELD, name], check=True, timeout=SECONDS)
