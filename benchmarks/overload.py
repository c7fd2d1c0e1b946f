"""Three times more requests than the model can answer: goodput, what `/ping` takes meanwhile, and SIGTERM under load.

The model takes a fixed time (benchmarks/overload_program.py), so that its capacity is a number and not the machine's.
Peak: as many callers as fill it, each asking when it was answered. Overload: requests begin at 3 x capacity, whether
those before are answered or not; `/ping` is asked by a process of its own, 20 times a second, by a new connection each.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import multiprocessing
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import httpx

from benchmarks.overload_program import ROWS, SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = json.dumps({"instances": [{"x": [0.5] * 32}]}).encode()
CAPACITY = ROWS / SECONDS
"""Requests a second, of one row each."""
TIMES, TAKEN = 3, 20.0
"""Overload, and seconds of each phase."""
TRIES, CALLERS = 20, 24


def measure() -> dict[str, Any]:
    with served() as (_, port):
        peak = asyncio.run(fill(port))
    with served() as (_, port), pinged(port) as pings:
        statuses, slowest = asyncio.run(flood(port))
        milliseconds = pings()
    ended = sum((end_under_load(fresh=number % 2 == 0) for number in range(TRIES)), Counter[str]())
    goodput = statuses["200"] / TAKEN
    return {
        "capacity_rps": CAPACITY,
        "peak_goodput_rps": round(peak, 1),
        "overload_rps": round(sum(statuses.values()) / TAKEN, 1),
        "overload_goodput_rps": round(goodput, 1),
        "overload_goodput_share_of_peak": round(goodput / peak, 3),
        "overload_statuses": dict(statuses),
        "overload_answered_ms_max": round(slowest * 1000, 1),
        "ping_ms": {
            "count": len(milliseconds),
            "p50": round(statistics.median(milliseconds), 2),
            "p99": round(sorted(milliseconds)[int(0.99 * len(milliseconds))], 2),
            "max": round(max(milliseconds), 2),
        },
        "sigterm": {
            "tries": TRIES,
            "callers": CALLERS,
            "answered": ended["answered"],
            "lost": ended["lost"],
            "other_statuses": {name: count for name, count in ended.items() if " " in name},
        },
    }


@contextmanager
def served() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The program and its port, ready."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.overload_program", str(port)], stdout=subprocess.DEVNULL
    )
    try:
        while process.poll() is None:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/ping").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.05)
        yield process, port
    finally:
        process.kill()
        process.wait()


async def fill(port: int) -> float:
    """Answers a second when there are always enough callers."""
    answered = 0

    async def call(client: httpx.AsyncClient) -> None:
        nonlocal answered
        while time.monotonic() < end:
            answer = await client.post("/invocations", content=BODY)
            answered += answer.status_code == 200

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", limits=UNBOUNDED, timeout=60) as client:
        await client.post("/invocations", content=BODY)
        end = time.monotonic() + TAKEN
        await asyncio.gather(*(call(client) for _ in range(2 * ROWS)))
    return answered / TAKEN


UNBOUNDED = httpx.Limits(max_connections=None, max_keepalive_connections=None)


async def flood(port: int) -> tuple[Counter[str], float]:
    """Statuses of all answers that came within the phase, and the longest that a good one took, in seconds."""
    statuses: Counter[str] = Counter()
    slowest = 0.0

    async def call(client: httpx.AsyncClient) -> None:
        nonlocal slowest
        began = time.monotonic()
        answer = await client.post("/invocations", content=BODY)
        if time.monotonic() < end:
            statuses[str(answer.status_code)] += 1
        if answer.status_code == 200:
            slowest = max(slowest, time.monotonic() - began)

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", limits=UNBOUNDED, timeout=60) as client:
        tasks, began = [], time.monotonic()
        end = began + TAKEN
        for number in range(int(TIMES * CAPACITY * TAKEN)):
            await asyncio.sleep(max(0.0, began + number / (TIMES * CAPACITY) - time.monotonic()))
            tasks.append(asyncio.create_task(call(client)))
        await asyncio.gather(*tasks)
    return statuses, slowest


@contextmanager
def pinged(port: int) -> Iterator[Any]:
    """A process that asks `/ping` until its times, in ms, are asked for."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=ping, args=(port, theirs))
    process.start()

    def end() -> list[float]:
        ours.send("end")
        found: list[float] = ours.recv()
        return found

    yield end
    process.join()


def ping(port: int, told: Connection) -> None:
    found: list[float] = []
    while not told.poll(0.05):
        began = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/ping")
        assert connection.getresponse().status == 200
        found.append((time.perf_counter() - began) * 1000)
        connection.close()
    told.send(found)


def end_under_load(fresh: bool) -> Counter[str]:
    """SIGTERM while callers ask: how many were answered with 200, or another status, and how many were let in and
    never answered."""
    counted: Counter[str] = Counter()

    def call() -> None:
        connection = None
        while True:
            try:
                if fresh or connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                    connection.connect()
            except OSError:
                return
            try:
                connection.request("POST", "/invocations", BODY)
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                counted["lost"] += 1
                return
            counted["answered" if answer.status == 200 else f"status {answer.status}"] += 1
            if answer.getheader("connection") == "close":
                connection = None

    with served() as (process, port):
        threads = [threading.Thread(target=call) for _ in range(CALLERS)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        process.wait(30)
    return counted
