"""Micro-batching and decoding without a server: who shares a call, and what a row becomes."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelpack.server.engines.base import Arrays, InvalidInput
from modelpack.server.http.batch import Batcher
from modelpack.server.http.instances import Instances
from modelpack.server.http.metrics import Histogram
from modelpack.server.http.refusal import Refusal
from modelpack.server.signature import ModelSignature, Tensor


class Doubler:
    """Gives x * 2. Waits for `gate` on its first call; refuses rows that hold -1; remembers the sizes of its calls."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.sizes: list[int] = []

    def run(self, feeds: Arrays) -> Arrays:
        self.entered.set()
        assert self.gate.wait(20)
        self.sizes.append(len(feeds["x"]))
        if (feeds["x"] == -1).any():
            raise InvalidInput("minus one")
        return {"y": feeds["x"] * 2}


def test_a_lone_request_does_not_wait_and_what_gathers_goes_together() -> None:
    runtime = Doubler()
    seen: list[int] = []
    batcher = Batcher(runtime, 4, lambda rows, seconds: seen.append(rows))

    async def scene() -> list[int]:
        first = asyncio.ensure_future(batcher.infer({"x": np.array([0])}, 1))
        await asyncio.to_thread(runtime.entered.wait, 20)
        others = [asyncio.ensure_future(batcher.infer({"x": np.array([n])}, 1)) for n in range(1, 7)]
        await asyncio.sleep(0)
        runtime.gate.set()
        return [int((await task)["y"][0]) for task in (first, *others)]

    assert asyncio.run(scene()) == [0, 2, 4, 6, 8, 10, 12]
    assert runtime.sizes == seen == [1, 4, 2]
    batcher.close()


def test_one_refused_row_fails_alone() -> None:
    runtime = Doubler()
    batcher = Batcher(runtime, 8, lambda rows, seconds: None)

    async def scene() -> list[object]:
        tasks = [asyncio.ensure_future(batcher.infer({"x": np.array([n])}, 1)) for n in (5, 1, -1, 2)]
        await asyncio.to_thread(runtime.entered.wait, 20)
        await asyncio.sleep(0)
        runtime.gate.set()
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    five, one, refused, two = asyncio.run(scene())
    assert isinstance(refused, InvalidInput)
    assert [int(answer["y"][0]) for answer in (five, one, two)] == [10, 2, 4]  # type: ignore[index]
    batcher.close()


def test_a_caller_that_went_away_disturbs_nobody() -> None:
    runtime = Doubler()
    batcher = Batcher(runtime, 8, lambda rows, seconds: None)

    async def scene() -> int:
        gone = asyncio.ensure_future(batcher.infer({"x": np.array([1])}, 1))
        stays = asyncio.ensure_future(batcher.infer({"x": np.array([2])}, 1))
        await asyncio.to_thread(runtime.entered.wait, 20)
        gone.cancel()
        await asyncio.sleep(0)
        runtime.gate.set()
        return int((await stays)["y"][0])

    assert asyncio.run(scene()) == 4
    batcher.close()


@settings(max_examples=40, deadline=None)
@given(
    jobs=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 3)), min_size=1, max_size=12),
    limit=st.integers(1, 8),
)
def test_rows_come_back_to_their_own_caller(jobs: list[tuple[int, int]], limit: int) -> None:
    """Whatever the sizes and widths: no call is larger than the limit, and every caller gets its own rows."""
    runtime = Doubler()
    runtime.gate.set()
    batcher = Batcher(runtime, limit, lambda rows, seconds: None)
    feeds = [np.arange(rows * width).reshape(rows, width) + 1000 * n for n, (rows, width) in enumerate(jobs)]

    async def scene() -> list[Arrays]:
        return await asyncio.gather(*(batcher.infer({"x": array}, len(array)) for array in feeds))

    for array, answer in zip(feeds, asyncio.run(scene()), strict=True):
        np.testing.assert_array_equal(answer["y"], array * 2)
    assert max(runtime.sizes) <= limit
    batcher.close()


SIGNATURE = ModelSignature(
    format=1,
    model="m",
    runtime="onnxruntime",
    file="m.onnx",
    inputs=(
        Tensor("price", "FP32", (-1,)),
        Tensor("on sale", "BOOL", (-1,), default=False),
        Tensor("image", "UINT8", (-1, 2, 2)),
        Tensor("words", "BYTES", (-1, -1)),
    ),
    outputs=(Tensor("y", "FP32", (-1,)),),
)
ROW = '{"price": 1, "image": [[1, 2], [3, 255]], "words": ["a", "b"]}'


def test_every_kind_of_input() -> None:
    feeds, rows = Instances(SIGNATURE.inputs).decode(f'{{"instances": [{ROW}, {ROW}]}}'.encode())
    assert rows == 2
    assert {name: (array.dtype, array.shape) for name, array in feeds.items()} == {
        "price": (np.dtype(np.float32), (2,)),
        "on sale": (np.dtype(np.bool_), (2,)),
        "image": (np.dtype(np.uint8), (2, 2, 2)),
        "words": (np.dtype(np.object_), (2, 2)),
    }


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (('"price": 1', '"price": 1e300'), "'price': a value does not fit in FP32"),
        (("255", "256"), "Expected `int` <= 255 - at `$.instances[1].image[1][1]`"),
        (("[1, 2], ", ""), "length >= 2 - at `$.instances[1].image`"),
        (('"b"', '"b", "c"'), "input 'words'"),
        (('"price": 1', '"on sale": 1, "price": 1'), "Expected `bool`"),
    ],
)
def test_what_does_not_fit(change: tuple[str, str], reason: str) -> None:
    body = f'{{"instances": [{ROW}, {ROW.replace(*change)}]}}'.encode()
    with pytest.raises(Refusal) as caught:
        Instances(SIGNATURE.inputs).decode(body)
    assert caught.value.status == 400
    assert reason in caught.value.reason


@given(values=st.lists(st.floats(0, 10), max_size=30))
def test_histogram_counts_every_value_once(values: list[float]) -> None:
    histogram = Histogram((0.5, 1, 5))
    for value in values:
        histogram.observe(value)
    counts = {line.partition(" ")[0]: float(line.partition(" ")[2]) for line in histogram.lines("h", "")}
    for bound in (0.5, 1, 5):
        assert counts[f'h_bucket{{le="{bound:g}"}}'] == sum(value <= bound for value in values)
    assert counts['h_bucket{le="+Inf"}'] == counts["h_count{}"] == len(values)
