"""One writer at a time: among threads, among processes, over kills, reboots and machines."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from waiting import SECONDS

from infra.targets.base import Clock
from modelpack.errors import CloudRefused, Locked
from stacks.records.lease import BEAT, EXPIRES, Lease
from stacks.records.process import Process, is_alive, this_process
from stacks.records.store import FolderStore, InMemoryStore, RecordStore

ME = Process(pid=10, started=100, boot="boot-1", host="desk")


def lease(
    store: RecordStore, me: Process = ME, *, dead: tuple[int, ...] = (), beat: float = BEAT, **more: Any
) -> Lease:
    return Lease(
        store,
        "ada",
        me,
        lambda: datetime(2026, 11, 24, tzinfo=UTC),
        lives=lambda one: one.pid not in dead,
        beat=beat,
        **more,
    )


def test_it_is_free_again_afterwards_and_the_token_grows() -> None:
    store = InMemoryStore()
    tokens = []
    for _ in range(3):
        with lease(store).hold("up") as held:
            tokens.append(held.token)
            assert held.note == ""
    assert tokens == [1, 2, 3]


def test_it_is_free_again_after_an_error() -> None:
    store = InMemoryStore()
    with pytest.raises(ZeroDivisionError), lease(store).hold("up"):
        _ = 1 / 0
    with lease(store).hold("up") as held:
        assert held.token == 2


def test_a_live_holder_is_named_with_what_to_type() -> None:
    store = InMemoryStore()
    with (
        lease(store).hold("rollback"),
        pytest.raises(Locked) as error,
        lease(store, replace(ME, pid=11)).hold("up"),
    ):
        pass
    assert error.value.exit_code == 3
    assert "`ecomdeploy rollback` of ada, since 2026-11-24" in str(error.value)
    assert "process 10" in str(error.value)
    assert "kill 10" in error.value.hint


@pytest.mark.parametrize(
    ("next_one", "dead", "why"),
    [
        (replace(ME, pid=11), (10,), "its process has ended"),
        (replace(ME, boot="boot-2"), (), "its process has ended"),
    ],
    ids=["dead process", "other boot"],
)
def test_a_stale_lease_is_taken_over_with_a_note(next_one: Process, dead: tuple[int, ...], why: str) -> None:
    store = InMemoryStore()
    lease(store).take("up")
    with lease(store, next_one, dead=dead).hold("up") as held:
        assert why in held.note
        assert held.token == 2


@dataclass
class Watched(InMemoryStore):
    """A store whose clock is set: `set_by` seconds at once, now and then; its holder renews every `renewed` seconds."""

    gone: float = 0.0
    shown: float = EXPIRES + 1
    renewed: float = float("inf")
    jump: tuple[float, float] = (float("inf"), 0.0)

    def age(self, name: str) -> float | None:
        beats = self.gone // self.renewed
        jumped = self.jump[1] if self.gone >= self.jump[0] else 0.0
        return (self.gone - beats * self.renewed if beats else self.shown + self.gone) + jumped

    def sleep(self, seconds: float) -> None:
        self.gone += seconds


def test_another_machine_is_believed_while_it_renews() -> None:
    store = InMemoryStore()
    lease(store, replace(ME, host="other")).take("up")
    store.ages["lease.json"] = EXPIRES - 1
    with pytest.raises(Locked, match="at work on other"):
        lease(store).take("up")


@pytest.mark.parametrize(
    ("shown", "renewed", "jump", "lives"),
    [
        (EXPIRES + 1, 1e9, (1e9, 0), False),
        (EXPIRES + 1, BEAT, (1e9, 0), True),
        (86_400, BEAT, (1e9, 0), True),
        (86_400, 1e9, (1e9, 0), False),
        (-3_600, BEAT, (1e9, 0), True),
        (-3_600, 1e9, (1e9, 0), False),
        (-BEAT, BEAT, (1e9, 0), True),
        (EXPIRES + 1, BEAT, (7, -3_600), True),
        (EXPIRES + 1, 1e9, (7, -3_600), True),
        (EXPIRES + 1, 1e9, (7, 86_400), True),
    ],
    ids=[
        *(
            "dead",
            "late",
            "a day on",
            "a day on and dead",
            "an hour back",
            "an hour back and dead",
            "a beat back",
        ),
        *("set meanwhile", "dead and set back: look once more", "dead and set on: look once more"),
    ],
)
def test_a_clock_that_is_set_takes_no_lease_from_who_lives(
    shown: float, renewed: float, jump: tuple[float, float], lives: bool
) -> None:
    store, told = Watched(shown=shown, renewed=renewed, jump=jump), list[str]()
    lease(store, replace(ME, host="other")).take("up")
    mine = lease(store, watch=Clock(lambda: store.gone, store.sleep), tell=told.append)
    if lives:
        with pytest.raises(Locked, match="just renewed"):
            mine.take("up")
    else:
        assert "not renewed for 60 s" in mine.take("up")[1].note
    assert "is it still at work?" in told[0]


def test_a_lease_that_nobody_can_read_is_taken_over() -> None:
    store = InMemoryStore({"lease.json": b"{half"})
    _, held = lease(store).take("up")
    assert "nobody can read" in held.note


def test_a_holder_that_was_taken_over_does_not_free_the_other_ones_lease() -> None:
    store = InMemoryStore()
    with lease(store).hold("up"):
        record, _ = lease(store, replace(ME, pid=11), dead=(10,)).take("up")
    assert store.read("lease.json") == record


def test_it_is_renewed_while_held(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    renewed = threading.Event()

    class Watching(Lease):
        def renew(self, record: bytes, stop: threading.Event) -> None:
            os.utime(tmp_path / "lease.json", (0, 0))
            renewed.set()
            super().renew(record, stop)

    with Watching(store, "ada", ME, lambda: datetime(2026, 11, 24, tzinfo=UTC), beat=0.01).hold("up"):
        assert renewed.wait(SECONDS)
        for _ in range(1000):
            if (tmp_path / "lease.json").stat().st_mtime > 0:
                break
            threading.Event().wait(0.01)
        assert (tmp_path / "lease.json").stat().st_mtime > 0


def test_a_beat_that_fails_is_followed_by_the_next() -> None:
    """As when the network is away, or the disk full, for a moment."""
    renewed = threading.Event()

    class Unsteady(InMemoryStore):
        tried = 0

        def write(self, name: str, data: bytes, *, was: bytes | None) -> bool:
            self.tried += 1
            if self.tried in (2, 3):
                raise CloudRefused("no route") if self.tried == 2 else OSError(errno.ENOSPC, "no space")
            if self.tried > 3:
                renewed.set()
            return super().write(name, data, was=was)

    with lease(Unsteady(), beat=0.01).hold("up"):
        assert renewed.wait(SECONDS)


def test_of_many_starters_at_once_one_wins(tmp_path: Path) -> None:
    won, lost, start = [], [], threading.Barrier(8)

    def begin(pid: int) -> None:
        mine = lease(FolderStore(tmp_path), replace(ME, pid=pid))
        start.wait()
        try:
            won.append(mine.take("up"))
        except Locked:
            lost.append(pid)

    threads = [threading.Thread(target=begin, args=(pid,)) for pid in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 7)


HOLDER = """
import signal, sys
from datetime import UTC, datetime
from pathlib import Path
from stacks.records.lease import Lease
from stacks.records.process import this_process
from stacks.records.store import FolderStore
store = FolderStore(Path(sys.argv[1]))
with Lease(store, "eve", this_process(), lambda: datetime.now(UTC)).hold("up"):
    print("held", flush=True)
    signal.pause()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL])
def test_a_killed_process_does_not_lock_us_out(tmp_path: Path, repository: Path, how: signal.Signals) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=repository
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    mine = Lease(FolderStore(tmp_path), "ada", this_process(), lambda: datetime.now(UTC))
    with pytest.raises(Locked, match="of eve"):
        mine.take("up")
    holder.send_signal(how)
    # Not reaped yet: a zombie holds nothing either.
    while is_alive(Process(**json.loads((tmp_path / "lease.json").read_bytes())["process"])):
        threading.Event().wait(0.01)
    with mine.hold("up") as held:
        assert "of eve" in held.note
    holder.wait()
    holder.stdout.close()


def test_a_reused_process_id_is_another_process() -> None:
    me = this_process()
    assert is_alive(me)
    assert not is_alive(replace(me, started=me.started + 1))
    assert not is_alive(replace(me, pid=2**22 + 1))
