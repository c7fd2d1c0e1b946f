"""Rows of two at once, of leases whose owner lives or not, and of damaged files of the project."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from stacks.records.process import Process, this_process
from tests.chaos.checks import converges, in_our_words, is_refused, served
from tests.chaos.fuse import STOP
from tests.chaos.rows import Row
from tests.chaos.shop import BACK, EMPTY, TWO, Shop

AGO = 3600.0
PAIRS = (
    ("up", "up"),
    ("up", "rollback"),
    ("up", "down"),
    ("rollback", "rollback"),
    ("rollback", "down"),
    ("down", "down"),
)
"""Typed at the same moment: whoever comes second is refused, or finds what the first has done."""


def foresee(shop: Shop) -> None:
    """What there is when all is well in the end."""
    for state in (TWO, BACK, EMPTY):
        shop.foresee(state, "three")


def settle(shop: Shop) -> None:
    converges(shop, "three", f"{TWO}, three", f"{BACK}, three", f"{EMPTY}, three")


# ---- two at once ----


def meet(shop: Shop, at: int) -> None:
    """One `up` stands still before its n-th effect, another command comes, the first goes on."""
    foresee(shop)
    shop.put(TWO)
    first, second = shop.stages
    with served(shop, "one", "two", "three"):
        first.begin(shop.order("up", "three", at=at, how=STOP))
        stopped = first.await_stop()
        verb = ("up", "rollback")[at % 2]
        try:
            ended = second.run(shop.order(verb, "three"))
            if stopped and at > 1:  # at the first the lease is not written yet
                is_refused(ended)
        finally:
            if stopped:
                shop.resume(stopped)
            done = first.end()
        in_our_words(ended)
        assert done.well or done.error == "Locked", f"{done.error}: {done.said}"
        if verb == "up" or at > 1:
            settle(shop)


def race(shop: Shop, at: int) -> None:
    foresee(shop)
    shop.put(TWO)
    orders = [shop.order(verb, "three") for verb in PAIRS[at - 1]]
    for stage, order in zip(shop.stages, orders, strict=True):
        stage.begin(order)
    for ended in [stage.end() for stage in shop.stages]:
        in_our_words(ended)
        assert ended.well or ended.error in ("Locked", "BadInput"), f"{ended.error}: {ended.said}"
    if "rollback" in PAIRS[at - 1] and "up" in PAIRS[at - 1]:
        # who was rolled back from is not shipped again unasked
        assert shop.ask() in shop.digests.values()
        return
    settle(shop)


# ---- leases ----


def write_lease(shop: Shop, process: Process, ago: float = 0.0, token: int = 9) -> Path:
    file = shop.project / ".ecomdeploy" / "local" / "lease.json"
    record = {"token": token, "who": "another", "purpose": "up", "since": "2026-01-01T00:00:00+00:00"}
    file.write_text(json.dumps({**record, "process": asdict(process)}))
    moment = time.time() - ago
    os.utime(file, (moment, moment))
    return file


def dead_process(me: Process) -> Process:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return replace(me, pid=child)


def leases() -> Mapping[str, tuple[Callable[[Process], Process], float, bool]]:
    """Whose the lease is, how long ago it was renewed, and whether it is to be respected."""
    return {
        "a process that has ended": (dead_process, 0.0, False),
        "a living process": (lambda me: me, 0.0, True),
        "a living process that has not renewed it": (lambda me: me, AGO, True),
        "a process of this number that another is": (
            lambda me: replace(me, started=me.started - 1),
            0.0,
            False,
        ),
        "before the machine was booted": (lambda me: replace(me, boot="another"), 0.0, False),
        "another machine, renewed": (lambda me: replace(me, host="elsewhere"), 0.0, True),
        "another machine, by a clock ahead": (lambda me: replace(me, host="elsewhere"), -1.0, True),
        "another machine, long not renewed": (lambda me: replace(me, host="elsewhere"), AGO, False),
        "another machine, renewed while it is watched": (lambda me: replace(me, host="elsewhere"), AGO, True),
    }


def find_lease(shop: Shop, at: int) -> None:
    foresee(shop)
    shop.put(TWO)
    name, (whose, ago, respected) = list(leases().items())[at - 1]
    file = write_lease(shop, whose(this_process()), ago)
    over = threading.Event()

    def renew() -> None:
        while not over.wait(1):
            os.utime(file)

    renewing = threading.Thread(target=renew)
    if name.endswith("watched"):
        renewing.start()
    before = shop.mutating()
    with served(shop, "one", "two", "three"):
        ended = shop.run("up", "three")
        over.set()
        if respected:
            is_refused(ended)
            assert shop.mutating() == before
            write_lease(shop, dead_process(this_process()))
        else:
            assert ended.well, f"{ended.error}: {ended.said}"
        settle(shop)
    if renewing.is_alive():
        renewing.join()


# ---- damage ----

DAMAGE: Mapping[str, Callable[[Path], object]] = {
    "emptied": lambda file: file.write_bytes(b""),
    "cut in half": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "overwritten": lambda file: file.write_bytes(b"\x00\xff{[" * 64),
    "gone": lambda file: file.unlink(),
}


def files(shop: Shop) -> list[Path]:
    """All that a project keeps of its environment, where two releases have been."""
    foresee(shop)
    root = shop.folder / "kept" / TWO / "project" / ".ecomdeploy"
    return sorted(one.relative_to(root) for one in root.rglob("*") if one.is_file() and one.stat().st_size)


def damage(shop: Shop, at: int) -> None:
    """It converges all the same, or it is refused, nothing was changed, and with the file put back it converges."""
    file = files(shop)[(at - 1) // len(DAMAGE)]
    way = list(DAMAGE)[(at - 1) % len(DAMAGE)]
    shop.put(TWO)
    before = shop.holdings()
    spoilt = shop.project / ".ecomdeploy" / file
    kept = shop.folder / "damaged"
    shutil.copytree(shop.project / ".ecomdeploy", kept, dirs_exist_ok=True)
    DAMAGE[way](spoilt)
    try:
        with served(shop, "one", "two", "three"):
            ended = shop.run("up", "three")
            assert ended.status in (0, 1), f"{ended.error}: {ended.said}"
            if not ended.well:
                assert shop.holdings() == before, f"refused, and yet something was changed: {ended.said}"
                shutil.rmtree(shop.project / ".ecomdeploy")
                shutil.copytree(kept, shop.project / ".ecomdeploy")
            settle(shop)
    except AssertionError as error:
        raise AssertionError(f"{file} {way}: {error}") from error
    finally:
        shutil.rmtree(kept)


# ---- an impostor ----


def impostor(shop: Shop, at: int, spoilt: str = "") -> None:
    """Servers that answer rightly from other files than the image has: the first release, the next one."""
    state = (EMPTY, TWO)[at - 1]
    foresee(shop)
    shop.put(state)
    spec = shop.project / "ecomdeploy.yaml"
    asked = spec.read_text()
    spec.write_text(
        asked.replace("{target: sagemaker}", "{target: sagemaker, environment: {DIGEST: 'sha256:other'}}")
    )
    ended = shop.run("up", "three", spoilt=spoilt)
    assert ended.error == "Unhealthy", (
        f"what nobody has built is live: {ended.status} {ended.error} {ended.said}"
    )
    if state == TWO:
        assert shop.ask() == shop.digests["two"]
    spec.write_text(asked)
    settle(shop)


def rows(shop: Callable[[], Shop]) -> Iterator[Row]:
    def effects() -> int:
        foresee(shop())
        return len(shop().effects(TWO, "up", word="three"))

    yield Row("two at once: one stands still", "sagemaker", effects, lambda at: meet(shop(), at))
    yield Row("two at once: at the same moment", "sagemaker", lambda: len(PAIRS), lambda at: race(shop(), at))
    yield Row("lease", "sagemaker", lambda: len(leases()), lambda at: find_lease(shop(), at))
    yield Row("damage", "sagemaker", lambda: len(files(shop())) * len(DAMAGE), lambda at: damage(shop(), at))
    yield Row("servers of other files", "sagemaker", lambda: 2, lambda at: impostor(shop(), at))
