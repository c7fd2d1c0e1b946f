"""Scoring: every partition through a pack's servers, rows in order, in bounded memory; then a sample asked again alone.

plan      which columns the model reads, and which are kept           columns.py
parts     one for each partition; those of an earlier run stay        parts.py
sample    some rows asked alone, as a caller of the endpoint would, and compared with what was written
publish   the folder gets its name
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from modelpack.errors import BadInput, EcomdeployError, Locked, Unhealthy
from modelpack.home import name_file
from modelpack.progress import Progress
from modelpack.server.golden import Tolerance, compare
from stacks.scoring import columns
from stacks.scoring.columns import BadRow, Body, ScoringColumns
from stacks.scoring.parts import Output, ScoredPart
from stacks.scoring.tables import Partition, ScoringTable, read_batches

MOST_ROWS = 4096
"""Of one request; the server takes 10,000 (modelpack/server/http/limits.py)."""
MOST_VALUES, REQUEST_SECONDS, FIRST_ROWS, GROWTH = 1 << 21, 1.0, 32, 4
"""Values and seconds that a request is cut to; how many rows are asked first, and how much larger the next is."""
BUSY, BUSY_SECONDS, REFUSED = (429, 503), 60.0, 400
Item = TypeVar("Item")
Result = TypeVar("Result")
SAMPLES = 16
"""Partitions of which rows are asked again, two each."""


@dataclass(frozen=True)
class Reply:
    """`header`: bytes of JSON before binary tensors; 0: all of it is JSON."""

    status: int
    data: bytes
    header: int = 0


class Answerer(Protocol):
    """A server of the pack. One request at a time is asked of it."""

    def ask(self, body: Body) -> Reply:
        """Raises EcomdeployError where it is gone, with its last words."""
        ...


@dataclass(frozen=True, kw_only=True)
class Scored:
    """`rows` of the output, of which `scored` now, the others by an earlier run; `checked`: rows asked again alone."""

    rows: int
    scored: int
    parts: int
    checked: int
    seconds: float


def score(
    source: ScoringTable, plan: ScoringColumns, output: Output, answerers: Sequence[Answerer], about: Mapping[str, Any],
    progress: Progress, most_rows: int = MOST_ROWS,
) -> Scored:  # fmt: skip
    """Write what the model answers to every row. `about` goes into the manifest; what serves is named in it, so that
    parts made by another model are made anew.

    Raises:
        BadInput: a row that the model does not take, with its file and number; finished parts stay.
        Unhealthy: a row asked alone is answered otherwise than what was written; nothing is published.
        Locked: another process writes this output.
    """
    began, marks = time.monotonic(), mark_parts(source, plan, about)
    with output_lock(output.work), Answerers(answerers) as asked:
        found = [output.find(number, mark) for number, mark in enumerate(marks)]
        there = [part for part in found if part]
        if there:
            progress.note(f"{len(there)} of {len(found)} parts are there from an earlier run")
        parts = list(_score_parts(source, plan, output, found, marks, asked, progress, most_rows))
        progress.step("Asking some rows again, alone")
        checked = check_sample(source, plan, output, parts, asked)
        output.publish(parts, {**about, "mark": mark_output(marks)})
    return Scored(
        rows=sum(part.rows for part in parts),
        scored=sum(part.rows for part in parts) - sum(part.rows for part in there),
        parts=len(parts),
        checked=checked,
        seconds=time.monotonic() - began,
    )


def mark_parts(source: ScoringTable, plan: ScoringColumns, about: Mapping[str, Any]) -> tuple[str, ...]:
    """Of each partition: the same only for the same rows, columns and model."""
    common = json.dumps([dict(about), str(plan.output), str(plan.schema)], sort_keys=True)
    return tuple(
        hashlib.sha256(f"{one.mark}\n{common}".encode()).hexdigest()[:32] for one in source.partitions
    )


def mark_output(marks: Iterable[str]) -> str:
    """Of all parts together."""
    return hashlib.sha256("\n".join(marks).encode()).hexdigest()[:32]


@contextmanager
def output_lock(work: Path) -> Iterator[None]:
    """One writer of an output at a time, for as long as it lives."""
    import fcntl

    work.mkdir(parents=True, exist_ok=True)
    lock = work.with_name(f".{work.name}.lock")
    with name_file(lock), lock.open("ab") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked("another process scores into this folder", where=str(work)) from None
        yield
        lock.unlink(missing_ok=True)


class Answerers:
    """A pool: each server gets one request at a time, answers come in the order of the rows."""

    def __init__(self, answerers: Sequence[Answerer]) -> None:
        self._free: SimpleQueue[Answerer] = SimpleQueue()
        for one in answerers:
            self._free.put(one)
        self._ahead = 2 * len(answerers)
        self._threads = ThreadPoolExecutor(len(answerers), "score")

    def __enter__(self) -> Answerers:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def ask(self, body: Body) -> Reply:
        """By whichever server is free; one that is busy with itself is asked again for a while."""
        server = self._free.get()
        try:
            deadline = time.monotonic() + BUSY_SECONDS
            while (answer := server.ask(body)).status in BUSY and time.monotonic() < deadline:
                time.sleep(0.1)
            return answer
        finally:
            self._free.put(server)

    def in_order(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """The results, a few items ahead of whoever takes them."""
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(self._threads.submit(work, item))
                if len(waiting) > self._ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()


@dataclass(frozen=True)
class RowRange:
    """A batch, and where it stands in its file."""

    file: Path
    first: int
    batch: pa.RecordBatch


def _score_parts(
    source: ScoringTable, plan: ScoringColumns, output: Output, found: Sequence[ScoredPart | None],
    marks: Sequence[str], asked: Answerers, progress: Progress, most_rows: int,
) -> Iterator[ScoredPart]:  # fmt: skip
    total = source.rows or len(source.partitions)
    unit = "rows" if source.rows else "parts"
    size = 0
    with progress.track("Scoring", total, unit) as advance:
        for number, (partition, part) in enumerate(zip(source.partitions, found, strict=True)):
            if part is None:
                size = size or choose_rows(partition, plan, asked, most_rows)
                answers = _answer(partition, plan, asked, size)
                part = output.write(number, marks[number], plan.output, answers)
            advance(part.rows if source.rows else 1)
            yield part


def _answer(
    partition: Partition, plan: ScoringColumns, asked: Answerers, size: int
) -> Iterator[pa.RecordBatch]:
    def work(rows: RowRange) -> pa.RecordBatch:
        kept = [rows.batch.column(name) for name in plan.keep]
        return pa.RecordBatch.from_arrays([*kept, *ask_rows(rows, plan, asked)], schema=plan.output)

    return asked.in_order(work, cut(partition, plan, size))


def cut(partition: Partition, plan: ScoringColumns, size: int) -> Iterator[RowRange]:
    """The partition's rows, at most `size` at a time."""
    first = partition.first_row
    for batch in read_batches(partition, plan.schema, size):
        yield RowRange(partition.file, first, batch)
        first += batch.num_rows


def ask_rows(rows: RowRange, plan: ScoringColumns, asked: Answerers) -> list[pa.Array]:
    """What the model answers. Rows that it refuses are asked in halves until the one is found that it does not take."""
    count = rows.batch.num_rows
    try:
        answer = asked.ask(columns.encode(plan, rows.batch))
    except BadRow as problem:
        place = rows.file if problem.row is None else f"{rows.file}, row {rows.first + problem.row + 1}"
        raise BadInput(str(problem), where=str(place)) from None
    if answer.status == 200:
        try:
            return columns.decode(plan, count, answer.data, answer.header)
        except (ValueError, KeyError, TypeError, pa.ArrowException) as problem:
            raise EcomdeployError(f"the server's answer cannot be read: {problem}") from problem
    said = _words(answer)
    if count == 1 and answer.status == REFUSED:
        raise BadInput(said, where=f"{rows.file}, row {rows.first + 1}", hint="mend or leave out this row")
    if count == 1 or answer.status in BUSY:
        raise EcomdeployError(f"the server answered {answer.status}: {said}")
    half = count // 2
    parts = [
        ask_rows(RowRange(rows.file, rows.first + begin, rows.batch.slice(begin, length)), plan, asked)
        for begin, length in ((0, half), (half, count - half))
    ]
    return [pa.concat_arrays(both) for both in zip(*parts, strict=True)]


def choose_rows(partition: Partition, plan: ScoringColumns, asked: Answerers, most_rows: int) -> int:
    """Rows a request: as many as have so many values, and as are answered in so many seconds. The first rows are asked
    in ever larger requests, for the first request of all takes longer than any."""
    rows = next(cut(partition, plan, most_rows), None)
    if rows is None:
        return most_rows
    size = min(FIRST_ROWS, rows.batch.num_rows)
    ask_rows(replace(rows, batch=rows.batch.slice(0, size)), plan, asked)
    most: int = most_rows
    while True:
        first = replace(rows, batch=rows.batch.slice(0, size))
        began = time.perf_counter()
        answers = ask_rows(first, plan, asked)
        seconds = time.perf_counter() - began
        read = [first.batch.column(one.name) for one in plan.read]
        most = min(most, max(1, MOST_VALUES * size // max(_count_values([*read, *answers]), 1)))
        if size >= min(most, rows.batch.num_rows) or seconds * GROWTH > REQUEST_SECONDS:
            return most if seconds * most <= REQUEST_SECONDS * size else min(size, most)
        size = min(size * GROWTH, most, rows.batch.num_rows)


def check_sample(
    source: ScoringTable, plan: ScoringColumns, output: Output, parts: Sequence[ScoredPart], asked: Answerers
) -> int:
    """Ask rows of several parts again, each alone and in JSON; how many. Raises Unhealthy where one differs."""
    step = max(1, len(parts) // SAMPLES)
    tolerance: Tolerance = plan.signature.tolerance
    checked = 0
    for number in range(0, len(parts), step):
        rows = next(cut(source.partitions[number], plan, FIRST_ROWS), None)
        if rows is None:
            continue
        with pq.ParquetFile(output.work / parts[number].name) as opened:
            written = next(
                opened.iter_batches(FIRST_ROWS, columns=[one.name for one in plan.signature.outputs])
            )
        for row in {0, rows.batch.num_rows - 1}:
            alone = columns.instances(plan, rows.batch.slice(row, 1))
            body = json.dumps({"instances": alone}, ensure_ascii=False).encode()
            answer = asked.ask(Body(columns.INVOCATIONS, body))
            if answer.status != 200:
                raise Unhealthy(f"row {rows.first + row + 1} of {rows.file}, asked alone: {_words(answer)}")
            got = {"predictions": written.slice(row, 1).to_pylist()}
            if differences := compare(json.loads(answer.data), got, tolerance):
                raise Unhealthy(
                    f"row {rows.first + row + 1} of {rows.file} is written otherwise than the model answers when it is "
                    f"asked alone: {differences[0]}",
                    hint="nothing is published; do not use this model",
                )
            checked += 1
    return checked


def _words(answer: Reply) -> str:
    try:
        return str(json.loads(answer.data)["error"])[:300]
    except (ValueError, KeyError, TypeError):
        return answer.data.decode("utf-8", "replace")[:300]


def _count_values(arrays: Iterable[pa.Array]) -> int:
    total = 0
    for array in arrays:
        while pa.types.is_nested(array.type):
            array = array.flatten()
        total += len(array)
    return total
