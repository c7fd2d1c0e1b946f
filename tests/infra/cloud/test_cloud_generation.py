"""Generations: what may be remembered of an account, and for how long."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from infra.rehearsal.cloud.client import LocalCloud
from infra.rehearsal.cloud.daemon.generation import Generation
from modelpack.home import Home


def test_a_graceful_end_keeps_it_and_everything_else_does_not(tmp_path: Path) -> None:
    file = tmp_path / "generation.json"
    first = Generation(file)
    first.begin(whole=True)
    first.end(())
    again = Generation(file)
    again.begin(whole=True)
    assert again.id == first.id
    killed = Generation(file)
    killed.begin(whole=True)
    assert killed.id != first.id
    killed.end(())
    lost = Generation(file)
    lost.begin(whole=False)
    assert lost.id != killed.id
    lost.end(("a queue",))
    told = Generation(file)
    told.begin(whole=True)
    assert (told.id != lost.id, told.lost) == (True, ("a queue",))
    before = lost.id
    lost.renew()
    assert lost.id != before


def test_the_daemon_tells_it(tmp_path: Path) -> None:
    cloud = LocalCloud(Home(tmp_path, tmp_path / "cache"))
    try:
        first = cloud.generation()
        cloud.stop()
        assert cloud.generation() == first
        running = cloud.running()
        assert running is not None
        os.kill(running.pid, signal.SIGKILL)
        second = cloud.generation()
        assert second != first
        cloud.reset()
        assert cloud.generation() not in (first, second)
    finally:
        cloud.stop()
