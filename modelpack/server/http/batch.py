"""Micro-batching without a timer: while the model is busy requests gather, then it takes all that came.

A lone request never waits; under load the batch grows by itself up to `max_batch` rows. The model runs in one
worker thread, so the event loop stays free to read and answer. A request of more rows goes in cuts, and others take
their turn between them. The queue is bounded by time: a request that would wait longer than its callers do is told so
at once, which is what keeps a server that is asked too much at its full speed. What nobody waits for is not computed.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from modelpack.server.engines.base import Arrays, Engine
from modelpack.server.http.refusal import Refusal

Key = tuple[tuple[str, tuple[int, ...]], ...]

LONGEST_WAIT = 5.0
"""Seconds that a request may have to wait for its first turn."""
LONGEST_TIME = 60.0
"""Seconds that a request of several turns may take, by what is queued and a row takes."""
LONGEST_RETRY = 60
SHARE_OF_NEW = 0.2
"""How much the last call counts in what a call takes."""


@dataclass(slots=True)
class Job:
    """One request's rows on their way through the model; `at` are done, in `parts`."""

    feeds: Arrays
    rows: int
    future: asyncio.Future[Arrays]
    loop: asyncio.AbstractEventLoop
    at: int = 0
    parts: list[Arrays] = field(default_factory=list)

    @property
    def key(self) -> Key:
        """Jobs may share a call when all axes but the rows agree."""
        return tuple((name, array.shape[1:]) for name, array in self.feeds.items())

    @property
    def left(self) -> int:
        """Rows still to do."""
        return self.rows - self.at

    @property
    def dropped(self) -> bool:
        """Nobody waits for it any more."""
        return self.future.done()

    def rest(self, most: int) -> Arrays:
        """The next rows."""
        if self.at == 0 and most >= self.rows:
            return self.feeds
        return {name: np.ascontiguousarray(one[self.at : self.at + most]) for name, one in self.feeds.items()}

    def answer(self) -> Arrays:
        """All outputs."""
        if len(self.parts) == 1:
            return self.parts[0]
        return {name: np.concatenate([part[name] for part in self.parts]) for name in self.parts[0]}


@dataclass(slots=True)
class Work:
    """Something else to do in the model's thread, alone; it must not raise."""

    do: Callable[[], None]


class Batcher:
    """Owns the engine and its thread. `observe(rows, seconds)` is told of every model call; `clock` in seconds."""

    def __init__(
        self,
        engine: Engine,
        max_batch: int,
        observe: Callable[[int, float], None],
        longest_wait: float = LONGEST_WAIT,
        longest_time: float = LONGEST_TIME,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._engine = engine
        self._max_batch = max_batch
        self._observe = observe
        self._longest_wait, self._longest_time = longest_wait, longest_time
        self._clock = clock
        self._queue: SimpleQueue[Job | Work | None] = SimpleQueue()
        self._counting = threading.Lock()
        self._waiting = self._ahead = 0
        self._seconds = self._seconds_full = 0.0
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    def submit(self, feeds: Arrays, rows: int) -> asyncio.Future[Arrays]:
        """What will hold the outputs for these rows, in their order, or `InvalidInput`, or what the engine raised. Once
        it is settled from outside the rows are dropped. Raises `Refusal` (429) when too many wait."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Arrays] = loop.create_future()
        self._admit(rows)
        self._queue.put(Job(feeds, rows, future, loop))
        return future

    async def infer(self, feeds: Arrays, rows: int) -> Arrays:
        """The outputs for these rows. Raises as `submit`."""
        return await self.submit(feeds, rows)

    def alone(self, do: Callable[[], None]) -> None:
        """Do something in the model's thread, after what is queued. It must not raise. Raises `Refusal` (429)."""
        self._admit(1)
        self._queue.put(Work(do))

    def close(self) -> None:
        """End the thread after what is queued."""
        self._queue.put(None)
        self._thread.join(10)

    def _admit(self, rows: int) -> None:
        """Count a request in. Raises `Refusal` (429) when its first turn, or its last, would come too late."""
        each = (self._seconds_full or self._seconds) / self._max_batch
        first, last = (count * each for count in (self._ahead, self._waiting + rows))
        if first > self._longest_wait or (rows > self._max_batch and last > self._longest_time):
            seconds = first if rows <= self._max_batch else last
            reason = f"the model is busy: {rows} rows would take {seconds:.1f} s; ask again later"
            raise Refusal(429, reason, retry_after=min(max(math.ceil(first), 1), LONGEST_RETRY))
        self._count(0, rows)

    def _count(self, before: int, after: int) -> None:
        """A request had so many rows to do, and now has so many. `_ahead` are those of everybody's next turn."""
        most = self._max_batch
        # the event loop adds, the model's thread takes away
        with self._counting:
            self._waiting += after - before
            self._ahead += min(after, most) - min(before, most)

    def _took(self, rows: int, seconds: float) -> None:
        """A call is done. What waits will go in full calls, and while many wait calls are full: then only those count,
        for a call of one row may take as long, or a small part of it."""
        self._seconds = _smooth(self._seconds, seconds)
        if 2 * rows > self._max_batch:
            self._seconds_full = _smooth(self._seconds_full, seconds)

    def _work(self) -> None:
        held: Job | Work | None = None
        while True:
            first, held = held or self._queue.get(), None
            if first is None:
                if self._queue.empty():
                    return
                self._queue.put(None)
                continue
            if isinstance(first, Work):
                started = self._clock()
                first.do()
                self._took(1, self._clock() - started)
                self._count(1, 0)
                continue
            if first.dropped:
                self._count(first.left, 0)
                continue
            batch, held = self._gather(first)
            self._answer(batch)

    def _gather(self, first: Job) -> tuple[list[Job], Job | Work | None]:
        """What has arrived and fits beside `first`; the first that does not fit."""
        batch, rows, key = [first], first.left, first.key
        while rows < self._max_batch:
            try:
                job = self._queue.get_nowait()
            except Empty:
                break
            if job is None:
                self._queue.put(None)
                break
            if isinstance(job, Work) or rows + job.left > self._max_batch or job.key != key:
                return batch, job
            if job.dropped:
                self._count(job.left, 0)
                continue
            batch.append(job)
            rows += job.left
        return batch, None

    def _answer(self, batch: Sequence[Job]) -> None:
        try:
            results: Sequence[Arrays | Exception] = self._together(batch)
        except Exception as problem:
            # one caller's bad value must not fail its neighbours
            results = [problem] if len(batch) == 1 else [self._alone(job) for job in batch]
        settled = [
            pair
            for job, result in zip(batch, results, strict=True)
            if (pair := self._settle_part(job, result)) is not None
        ]
        if settled:
            # the server has one event loop, so one wake-up settles the whole batch
            hand_over(batch[0].loop, _settle, settled)

    def _settle_part(self, job: Job, result: Arrays | Exception) -> tuple[Job, Any] | None:
        """The job with its outcome; None where rows are left, which go behind those that wait."""
        if isinstance(result, Exception):
            self._count(job.left, 0)
            return job, result
        before = job.left
        job.parts.append(result)
        job.at += len(next(iter(result.values())))
        self._count(before, job.left)
        if job.left:
            self._queue.put(job)
            return None
        return job, job.answer()

    def _alone(self, job: Job) -> Arrays | Exception:
        try:
            return self._together([job])[0]
        except Exception as problem:
            return problem

    def _together(self, batch: Sequence[Job]) -> list[Arrays]:
        most = self._max_batch
        if len(batch) == 1:
            return [self._call(batch[0].rest(most))]
        parts = [job.rest(most) for job in batch]
        feeds = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        outputs = self._call(feeds)
        results, start = [], 0
        for job in batch:
            results.append({name: array[start : start + job.left] for name, array in outputs.items()})
            start += job.left
        return results

    def _call(self, feeds: Arrays) -> Arrays:
        rows = len(next(iter(feeds.values())))
        started = self._clock()
        outputs = self._engine.run(feeds)
        seconds = self._clock() - started
        self._observe(rows, seconds)
        for name, array in outputs.items():
            if array.shape[:1] != (rows,):
                raise RuntimeError(f"output {name} has shape {array.shape} for {rows} rows")
        self._took(rows, seconds)
        return outputs


def _smooth(known: float, new: float) -> float:
    """The mean that forgets."""
    return known + SHARE_OF_NEW * (new - known) if known else new


def _settle(pairs: Sequence[tuple[Job, Any]]) -> None:
    for job, result in pairs:
        if job.future.done():
            continue
        if isinstance(result, Exception):
            job.future.set_exception(result)
        else:
            job.future.set_result(result)


def hand_over(loop: asyncio.AbstractEventLoop, call: Callable[[Any], object], value: Any) -> None:
    """From the model's thread to the event loop; to nobody once that has ended, and its callers with it."""
    with contextlib.suppress(RuntimeError):  # all that it raises: "Event loop is closed"
        loop.call_soon_threadsafe(call, value)
