"""More requests than the model can answer: counted in turns of a model that takes a fixed time, by a clock of its own.

What the machine is fast at changes nothing here: the clock goes on when the model does. Milliseconds are measured by
`benchmarks/overload.py`.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter

import numpy as np
import pytest
from served import Caller, client_of, echo_signature, until

from modelpack.server.app import Application
from modelpack.server.engines.base import Arrays
from modelpack.server.http.batch import Batcher
from modelpack.server.http.instances import Instances
from modelpack.server.http.limits import Limits
from modelpack.server.http.metrics import Metrics
from modelpack.server.http.openinference import OpenInference
from modelpack.server.ready import ReadyModel
from modelpack.server.signature import Tensor

BATCH = 4
SECONDS = 1.0
"""A call takes, on the clock of the model."""
INPUTS = (Tensor("x", "INT64", (-1,)),)


class Timed:
    """Doubles, `BATCH` rows a call, when it is let; each call takes `SECONDS` on its own clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sizes: list[int] = []
        self._let = threading.Semaphore(0)
        self.waits = threading.Event()

    def clock(self) -> float:
        return self.now

    def run(self, feeds: Arrays) -> Arrays:
        self.waits.set()
        assert self._let.acquire(timeout=60)
        self.sizes.append(len(feeds["x"]))
        self.now += SECONDS
        return {"same_x": feeds["x"] * 2}

    def let(self, calls: int = 1) -> None:
        """One more call may end."""
        self.waits.clear()
        self._let.release(calls)


def overloaded(engine: Timed, limits: Limits) -> Application:
    signature, metrics = echo_signature(INPUTS, BATCH), Metrics()
    batcher = Batcher(engine, BATCH, metrics.model_call, limits.waiting, limits.seconds, engine.clock)
    made = Application(metrics, limits)
    bodies = Instances(INPUTS, limits), OpenInference(signature, limits)
    made.serve(ReadyModel(signature, "sha256:00", *bodies, batcher))
    return made


def asking(number: int, rows: int = 1) -> Caller:
    return Caller(json.dumps({"instances": [{"x": number}] * rows}).encode())


@pytest.fixture
def engine() -> Timed:
    return Timed()


def test_three_times_what_it_can_leaves_the_model_at_its_full_speed(engine: Timed) -> None:
    """3 x BATCH callers come for each call of the model. Of what it could answer, nine tenths are answered and none of
    those waited longer than the bound; the others are told at once; `/ping` is answered each time."""
    turns, bound = 60, 5

    async def scene() -> tuple[list[Caller], Counter[int]]:
        made = overloaded(engine, Limits(waiting=bound, requests=10_000))
        callers: list[Caller] = []
        tasks, pings = [], Counter[int]()
        async with client_of(made) as client:
            for _ in range(turns):
                for _ in range(3 * BATCH):
                    caller = asking(len(callers))
                    callers.append(caller)
                    tasks.append(caller.start(made))
                await until(engine.waits.is_set)
                pings[(await client.get("/ping")).status_code] += 1
                done = sum(bool(caller.sent) for caller in callers)
                engine.let()
                await until(lambda done=done: sum(bool(caller.sent) for caller in callers) > done)  # type: ignore[misc]
            engine.let(10 * turns)
            await asyncio.gather(*tasks)
        return callers, pings

    callers, pings = asyncio.run(scene())
    statuses = Counter(caller.status for caller in callers)
    assert set(statuses) == {200, 429}
    assert pings == {200: turns}
    could = turns * BATCH
    assert statuses[200] >= 0.9 * could
    # no more than the bound waits, so nobody is answered long after it asked
    assert statuses[200] <= could + (bound + 2) * BATCH
    assert set(engine.sizes[1:turns]) == {BATCH}, "the model ran full batches throughout"
    for number, caller in enumerate(callers):
        if caller.status == 200:
            assert json.loads(caller.sent[1]["body"]) == {"predictions": [{"same_x": 2 * number}]}
        else:
            seconds = int(caller.header(b"retry-after") or 0)
            assert 1 <= seconds <= bound + 2
            assert json.loads(caller.sent[1]["body"])["retry_after"] == seconds


def test_a_caller_who_left_is_not_computed_for(engine: Timed) -> None:
    async def scene() -> list[int]:
        made = overloaded(engine, Limits())
        first = asking(1, BATCH)
        answering = [first.start(made)]
        await until(engine.waits.is_set)
        leaving, staying = [asking(2, BATCH) for _ in range(5)], asking(3, BATCH)
        answering += [one.start(made) for one in (*leaving, staying)]
        await asyncio.sleep(0.1)
        for one in leaving:
            one.leave()
        await asyncio.gather(*answering[1:-1])
        engine.let(10)
        await asyncio.gather(*answering)
        assert (first.status, staying.status) == (200, 200)
        assert not any(one.sent for one in leaving)
        return engine.sizes

    assert asyncio.run(scene()) == [BATCH, BATCH]


def test_a_large_request_and_small_ones_take_turns(engine: Timed) -> None:
    """A thousand rows do not keep others waiting: after every cut whoever came has a turn."""

    async def scene() -> None:
        made = overloaded(engine, Limits(seconds=10_000, waiting=1000))
        large = asking(1, 250 * BATCH)
        tasks = [large.start(made)]
        await until(engine.waits.is_set)
        for number in range(20):
            small = asking(number)
            tasks.append(small.start(made))
            await until(lambda small=small: small.read)  # type: ignore[misc]
            for _ in range(3):
                engine.let()
                await until(engine.waits.is_set)
            await until(lambda small=small: small.sent)  # type: ignore[misc]
        assert not large.sent
        engine.let(300)
        await asyncio.gather(*tasks)
        assert large.status == 200
        predictions = json.loads(large.sent[1]["body"])["predictions"]
        assert predictions == [{"same_x": 2}] * (250 * BATCH)

    asyncio.run(scene())


def test_a_large_request_that_leaves_stops_at_its_cut(engine: Timed) -> None:
    async def scene() -> None:
        made = overloaded(engine, Limits(seconds=10_000))
        large = asking(1, 250 * BATCH)
        task = large.start(made)
        await until(engine.waits.is_set)
        engine.let(3)
        await until(lambda: len(engine.sizes) == 3 and engine.waits.is_set())
        large.leave()
        await task
        engine.let(10)
        after = asking(5)
        await after.start(made)
        assert after.status == 200
        assert len(engine.sizes) == 5

    asyncio.run(scene())


def test_what_would_take_too_long_is_refused_at_once(engine: Timed) -> None:
    """Once it is known what a row takes: 60 s are 60 calls."""

    async def scene() -> None:
        made = overloaded(engine, Limits(seconds=60, waiting=1000))
        engine.let()
        await asking(0, BATCH).start(made)
        large = asking(1, 61 * BATCH)
        await large.start(made)
        assert large.status == 429
        engine.let(60)
        fits = asking(1, 60 * BATCH)
        await fits.start(made)
        assert fits.status == 200

    asyncio.run(scene())


def test_a_request_that_takes_too_long_is_told_and_dropped(engine: Timed) -> None:
    async def scene() -> None:
        made = overloaded(engine, Limits(seconds=1))
        first, second = asking(1), asking(2)
        tasks = [first.start(made)]
        await until(engine.waits.is_set)
        tasks.append(second.start(made))
        await asyncio.gather(*tasks)
        assert (first.status, second.status) == (503, 503)
        assert json.loads(first.sent[1]["body"])["error"] == "not answered within 1 s"
        engine.let(5)
        after = asking(3)
        await after.start(made)
        assert (after.status, engine.sizes) == (200, [1, 1]), "the second was never computed"

    asyncio.run(scene())


def test_so_many_requests_at_once_and_no_more(engine: Timed) -> None:
    async def scene() -> None:
        made = overloaded(engine, Limits(requests=3))
        callers = [asking(number) for number in range(8)]
        tasks = [one.start(made) for one in callers]
        await until(lambda: sum(bool(one.sent) for one in callers) == 5)
        assert {one.status for one in callers[3:]} == {429}
        async with client_of(made) as client:
            assert (await client.get("/ping")).status_code == 200
            assert (await client.get("/metrics")).status_code == 200
        engine.let(9)
        await asyncio.gather(*tasks)
        assert {one.status for one in callers[:3]} == {200}
        again = asking(9)
        await again.start(made)
        assert again.status == 200, "who is answered makes room"

    asyncio.run(scene())


def test_so_many_bytes_at_once_and_no_more(engine: Timed) -> None:
    """A few bytes that become many values are counted as what they become."""

    async def scene() -> None:
        made = overloaded(engine, Limits(held=10_000))
        first = asking(1, 400)
        task = first.start(made)
        await until(engine.waits.is_set)
        second = asking(2, 200)
        await second.start(made)
        assert (second.status, second.header(b"retry-after")) == (429, b"1")
        engine.let(200)
        await task
        assert first.status == 200
        third = asking(3, 200)
        await third.start(made)
        assert third.status == 200

    asyncio.run(scene())


def test_rows_of_a_failing_call_are_no_longer_counted() -> None:
    """What waits is counted right whatever happens: after failures, drops and cuts nothing is left."""

    class Failing:
        def run(self, feeds: Arrays) -> Arrays:
            if (feeds["x"] < 0).any():
                raise RuntimeError("no")
            return {"same_x": feeds["x"]}

    batcher = Batcher(Failing(), BATCH, lambda rows, seconds: None)

    async def scene() -> None:
        values = [np.array(one) for one in ([1], [-1], [1] * 11, [1] * 6 + [-1] * 6, [-1], [2, 2])]
        results = await asyncio.gather(
            *(batcher.infer({"x": one}, len(one)) for one in values), return_exceptions=True
        )
        assert [isinstance(one, RuntimeError) for one in results] == [False, True, False, True, True, False]
        gone = batcher.submit({"x": np.ones(9, np.int64)}, 9)
        gone.cancel()
        batcher.alone(lambda: None)
        await batcher.infer({"x": np.array([1])}, 1)

    asyncio.run(scene())
    batcher.close()
    assert (batcher._waiting, batcher._ahead) == (0, 0)
