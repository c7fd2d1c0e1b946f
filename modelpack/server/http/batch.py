"""Micro-batching without a timer: while the model is busy requests gather, then it takes all that came.

A lone request never waits; under load the batch grows by itself up to `max_batch` rows. The model runs in one
worker thread, so the event loop stays free to read and answer.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from modelpack.server.engines.base import Arrays, Engine
from modelpack.server.rows import in_cuts

Key = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(slots=True)
class Job:
    """One request's rows on their way through the model."""

    feeds: Arrays
    rows: int
    future: asyncio.Future[Arrays]
    loop: asyncio.AbstractEventLoop

    @property
    def key(self) -> Key:
        """Jobs may share a call when all axes but the rows agree."""
        return tuple((name, array.shape[1:]) for name, array in self.feeds.items())


@dataclass(slots=True)
class Work:
    """Something else to do in the model's thread, alone; it must not raise."""

    do: Callable[[], None]


class Batcher:
    """Owns the engine and its thread. `observe(rows, seconds)` is told of every model call."""

    def __init__(self, engine: Engine, max_batch: int, observe: Callable[[int, float], None]) -> None:
        self._engine = engine
        self._max_batch = max_batch
        self._observe = observe
        self._queue: SimpleQueue[Job | Work | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    async def infer(self, feeds: Arrays, rows: int) -> Arrays:
        """The outputs for these rows, in their order. Raises `InvalidInput`, or what the engine raised."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Arrays] = loop.create_future()
        self._queue.put(Job(feeds, rows, future, loop))
        return await future

    def alone(self, do: Callable[[], None]) -> None:
        """Do something in the model's thread, after what is queued. It must not raise."""
        self._queue.put(Work(do))

    def close(self) -> None:
        """End the thread after what is queued."""
        self._queue.put(None)
        self._thread.join(10)

    def _work(self) -> None:
        held: Job | Work | None = None
        while True:
            first, held = held or self._queue.get(), None
            if first is None:
                return
            if isinstance(first, Work):
                first.do()
                continue
            batch, held, last = self._gather(first)
            self._answer(batch)
            if last:
                self._queue.put(None)

    def _gather(self, first: Job) -> tuple[list[Job], Job | Work | None, bool]:
        """What has arrived and fits beside `first`; the first that does not fit; whether the end was seen."""
        batch, rows = [first], first.rows
        while rows < self._max_batch:
            try:
                job = self._queue.get_nowait()
            except Empty:
                break
            if job is None:
                return batch, None, True
            if isinstance(job, Work) or rows + job.rows > self._max_batch or job.key != first.key:
                return batch, job, False
            batch.append(job)
            rows += job.rows
        return batch, None, False

    def _answer(self, batch: Sequence[Job]) -> None:
        try:
            results: Sequence[Arrays | Exception] = self._together(batch)
        except Exception as problem:
            # one caller's bad value must not fail its neighbours
            results = [problem] if len(batch) == 1 else [self._alone(job) for job in batch]
        # the server has one event loop, so one wake-up settles the whole batch
        batch[0].loop.call_soon_threadsafe(_settle, list(zip(batch, results, strict=True)))

    def _alone(self, job: Job) -> Arrays | Exception:
        try:
            return self._together([job])[0]
        except Exception as problem:
            return problem

    def _together(self, batch: Sequence[Job]) -> list[Arrays]:
        if len(batch) == 1:
            return [self._run(batch[0].feeds, batch[0].rows)]
        feeds = {name: np.concatenate([job.feeds[name] for job in batch]) for name in batch[0].feeds}
        outputs = self._run(feeds, sum(job.rows for job in batch))
        results, start = [], 0
        for job in batch:
            results.append({name: array[start : start + job.rows] for name, array in outputs.items()})
            start += job.rows
        return results

    def _run(self, feeds: Arrays, rows: int) -> Arrays:
        if rows <= self._max_batch:
            return self._call(feeds)
        return in_cuts(self._call, feeds, self._max_batch)

    def _call(self, feeds: Arrays) -> Arrays:
        rows = len(next(iter(feeds.values())))
        started = time.perf_counter()
        outputs = self._engine.run(feeds)
        self._observe(rows, time.perf_counter() - started)
        for name, array in outputs.items():
            if array.shape[:1] != (rows,):
                raise RuntimeError(f"output {name} has shape {array.shape} for {rows} rows")
        return outputs


def _settle(pairs: Sequence[tuple[Job, Any]]) -> None:
    for job, result in pairs:
        if job.future.done():
            continue
        if isinstance(result, Exception):
            job.future.set_exception(result)
        else:
            job.future.set_result(result)
