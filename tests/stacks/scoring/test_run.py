"""Scoring from a folder of files to a published folder: every row once, whatever ends it on the way."""

from __future__ import annotations

import csv
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelpack.errors import BadInput, EcomdeployError, Locked, Unhealthy
from modelpack.progress import Silent
from modelpack.server.engines.base import Arrays
from modelpack.server.signature import ModelSignature, Tensor
from stacks.scoring import tables
from stacks.scoring.columns import Body, plan
from stacks.scoring.in_process import InProcess
from stacks.scoring.parts import MANIFEST, Output
from stacks.scoring.run import Reply, Scored, output_lock, score

SIGNATURE = ModelSignature(
    1,
    "shop",
    "onnxruntime",
    "model.onnx",
    (Tensor("price", "FP32", (-1,)), Tensor("name", "BYTES", (-1,))),
    (Tensor("double", "FP32", (-1,)), Tensor("said", "BYTES", (-1,))),
    tolerance={"double": {"kind": "close", "rtol": 1e-6, "atol": 0.0}},
)
ABOUT = {"image": "sha256:" + "a" * 64}


def answer(feeds: Arrays) -> Arrays:
    return {"double": feeds["price"] * 2, "said": np.array([f"<{name}>" for name in feeds["name"]], object)}


def rows_of(count: int) -> pa.Table:
    numbers = range(count)
    return pa.table(
        {"id": list(numbers), "price": pa.array([n / 4 for n in numbers]), "name": [f"n{n}" for n in numbers]}
    )


def run(
    table: Path,
    output: Path,
    model: Callable[[Arrays], Arrays] = answer,
    about: Mapping[str, str] = ABOUT,
    keep: tuple[str, ...] = (),
    ask: type[InProcess] = InProcess,
) -> tuple[Scored, list[InProcess]]:
    source = tables.open_source(table, partition_rows=100)
    servers = [ask(SIGNATURE, model), ask(SIGNATURE, model)]
    planned = plan(SIGNATURE, source.schema, keep, source.as_text)
    return score(source, planned, Output(output), servers, about, Silent(), most_rows=7), servers


def check(output: Path, count: int) -> None:
    """Every row once, in order, answered as the model does."""
    found = pq.read_table(output)
    assert found.column("id").to_pylist() == list(range(count))
    assert found.column("double").to_pylist() == [n / 2 for n in range(count)]
    assert found.column("said").to_pylist() == [f"<n{n}>" for n in range(count)]
    document = json.loads((output / MANIFEST).read_text())
    assert document["rows"] == count == sum(part["rows"] for part in document["parts"])
    assert {part["name"] for part in document["parts"]} == {one.name for one in output.glob("*.parquet")}
    assert {one.name for one in output.iterdir()} == {MANIFEST, *(part["name"] for part in document["parts"])}


def test_a_folder_of_files_is_scored_in_order(tmp_path: Path) -> None:
    whole, table = rows_of(650), tmp_path / "in"
    (table / "day=1").mkdir(parents=True)
    pq.write_table(whole.slice(0, 420), table / "day=1" / "a.parquet", row_group_size=60)
    pq.write_table(whole.slice(420), table / "z.parquet", row_group_size=1000)
    (table / "_SUCCESS").touch()
    (table / ".hidden.parquet").touch()
    done, servers = run(table, tmp_path / "out")
    check(tmp_path / "out", 650)
    assert (done.rows, done.scored, done.parts) == (650, 650, 5)
    assert done.checked > 0
    assert not (tmp_path / "out.partial").exists()
    assert all(count <= 32 for one in servers for count in one.rows)


def test_a_csv_is_scored_with_what_is_kept_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["id", "price", "name"])
        writer.writerows([f"00{n}", n / 4, f"n, {n}"] for n in range(150))
    done, _ = run(file, tmp_path / "out")
    found = pq.read_table(tmp_path / "out")
    assert found.column("id").to_pylist() == [f"00{n}" for n in range(150)]
    assert found.column("said").to_pylist() == [f"<n, {n}>" for n in range(150)]
    assert done.rows == 150


def test_scored_again_there_is_nothing_to_do_and_another_model_scores_anew(tmp_path: Path) -> None:
    pq.write_table(rows_of(300), tmp_path / "in.parquet", row_group_size=100)

    def fails_late(feeds: Arrays) -> Arrays:
        if feeds["price"].max() > 60:
            raise EcomdeployError("the server is gone")
        return answer(feeds)

    with pytest.raises(EcomdeployError, match="gone"):
        run(tmp_path / "in.parquet", tmp_path / "out", fails_late)
    assert not (tmp_path / "out").exists()
    done, _ = run(tmp_path / "in.parquet", tmp_path / "out")
    assert (done.rows, done.scored) == (300, 100)
    check(tmp_path / "out", 300)
    with pytest.raises(EcomdeployError, match="gone"):
        run(tmp_path / "in.parquet", tmp_path / "other", fails_late)
    done, _ = run(tmp_path / "in.parquet", tmp_path / "other", about={"image": "sha256:" + "b" * 64})
    assert done.scored == 300


def test_parts_of_a_file_that_changed_are_made_anew(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for letter, first in zip("ab", (0, 100), strict=True):
        pq.write_table(rows_of(200).slice(first, 100), tmp_path / "in" / f"{letter}.parquet")

    def fails(feeds: Arrays) -> Arrays:
        if feeds["price"].max() >= 49:
            raise EcomdeployError("the server is gone")
        return answer(feeds)

    with pytest.raises(EcomdeployError, match="gone"):
        run(tmp_path / "in", tmp_path / "out", fails)
    assert [one.name for one in (tmp_path / "out.partial").glob("*.json")] == ["part-00000.json"]
    pq.write_table(rows_of(100), tmp_path / "in" / "a.parquet", compression="none")
    done, _ = run(tmp_path / "in", tmp_path / "out")
    assert done.scored == 200
    check(tmp_path / "out", 200)


def test_a_damaged_or_cut_part_is_made_anew(tmp_path: Path) -> None:
    pq.write_table(rows_of(300), tmp_path / "in.parquet", row_group_size=100)
    calls = itertools.count()

    def fails_at_last(feeds: Arrays) -> Arrays:
        if next(calls) > 34:
            raise EcomdeployError("the server is gone")
        return answer(feeds)

    with pytest.raises(EcomdeployError, match="gone"):
        run(tmp_path / "in.parquet", tmp_path / "out", fails_at_last)
    part = tmp_path / "out.partial" / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:-10])
    (tmp_path / "out.partial" / "part-00000.json").write_text("{")
    (tmp_path / "out.partial" / ".part-00002.parquet").write_text("half")
    done, _ = run(tmp_path / "in.parquet", tmp_path / "out")
    assert done.scored == 300
    check(tmp_path / "out", 300)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda price: price[130] is not None and {130: None}, r"in\.parquet, row 131: price has no value"),
        (
            lambda price: {257: float("inf")},
            r"in\.parquet, row 258: input 'price': a value does not fit in FP32",
        ),
        (lambda price: {3: float("nan")}, r"in\.parquet, row 4: input 'price' takes no missing values"),
    ],
)
def test_the_one_row_that_is_not_taken_is_named(
    change: Callable[[list[Any]], dict[int, Any]], said: str, tmp_path: Path
) -> None:
    price = [n / 4 for n in range(300)]
    changed = change(price)
    column = pa.array([changed.get(n, value) for n, value in enumerate(price)], pa.float64())
    pq.write_table(rows_of(300).set_column(1, "price", column), tmp_path / "in.parquet", row_group_size=100)
    with pytest.raises(BadInput, match=said):
        run(tmp_path / "in.parquet", tmp_path / "out")
    assert not (tmp_path / "out").exists()


class Drifts(InProcess):
    """Answers a row alone otherwise than in company."""

    def ask(self, body: Body) -> Reply:
        answered = super().ask(body)
        if self.paths[-1] == "/invocations":
            document = json.loads(answered.data)
            document["predictions"][0]["double"] += 1
            return Reply(200, json.dumps(document).encode())
        return answered


def test_a_row_that_is_answered_otherwise_alone_keeps_all_from_being_published(tmp_path: Path) -> None:
    pq.write_table(rows_of(50), tmp_path / "in.parquet")
    with pytest.raises(Unhealthy, match=r"row 1 of .* is written otherwise than the model answers"):
        run(tmp_path / "in.parquet", tmp_path / "out", ask=Drifts)
    assert not (tmp_path / "out").exists()


class Busy(InProcess):
    """Says once that it is busy."""

    def ask(self, body: Body) -> Reply:
        if not self.paths:
            self.paths.append("busy")
            return Reply(429, b'{"error": "later"}')
        return super().ask(body)


def test_a_server_that_is_busy_is_asked_again(tmp_path: Path) -> None:
    pq.write_table(rows_of(50), tmp_path / "in.parquet")
    run(tmp_path / "in.parquet", tmp_path / "out", ask=Busy)
    check(tmp_path / "out", 50)


def test_one_output_has_one_writer_at_a_time(tmp_path: Path) -> None:
    pq.write_table(rows_of(50), tmp_path / "in.parquet")
    with output_lock(tmp_path / "out.partial"), pytest.raises(Locked, match="another process scores"):
        run(tmp_path / "in.parquet", tmp_path / "out")


def test_files_that_do_not_go_together_are_told_all_at_once(tmp_path: Path) -> None:
    table = tmp_path / "in"
    table.mkdir()
    pq.write_table(rows_of(5), table / "a.parquet")
    pq.write_table(rows_of(5).rename_columns(["id", "price", "nom"]), table / "b.parquet")
    (table / "c.parquet").write_text("no table")
    with pytest.raises(BadInput) as told:
        tables.open_source(table)
    assert [Path(one.where).name for one in told.value.problems] == ["b.parquet", "c.parquet"]
    assert "lacks name, has nom besides" in str(told.value)


@pytest.mark.parametrize("text", ["", "a,b,a\n1,2,3\n", "\n"])
def test_a_csv_without_a_header_of_its_own_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(BadInput, match="header"):
        tables.open_source(tmp_path / "x.csv")


def test_what_is_there_already_and_is_no_output_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    with pytest.raises(BadInput, match="no output of `score`"):
        Output(tmp_path / "out").read_published()


SLOWLY = """
import sys, time
from pathlib import Path
sys.path[:0] = {path!r}
from tests.stacks.scoring.test_run import answer, run
run(Path(sys.argv[1]), Path(sys.argv[2]), lambda feeds: (time.sleep(0.001), answer(feeds))[1])
"""


@pytest.mark.slow
def test_killed_at_random_moments_and_begun_again_every_row_is_there_once(tmp_path: Path) -> None:
    pq.write_table(rows_of(4000), tmp_path / "in.parquet", row_group_size=100)
    (tmp_path / "run.py").write_text(SLOWLY.format(path=[str(Path(__file__).parents[3]), *sys.path]))
    command = [sys.executable, str(tmp_path / "run.py"), str(tmp_path / "in.parquet"), str(tmp_path / "out")]
    work, chance = tmp_path / "out.partial", random.Random(7)
    parts, kills = 0, 0
    while not (tmp_path / "out").exists():
        child = subprocess.Popen(command, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
        more = parts + chance.randint(1, 3)
        while child.poll() is None and len(list(work.glob("*.json"))) < more:
            time.sleep(0.001)
        time.sleep(chance.random() * 0.03)
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
            kills += 1
        child.wait()
        made = len(list(work.glob("*.json")))
        assert made >= parts or (tmp_path / "out").exists(), "what was finished stays"
        parts = made
    assert kills >= 10
    check(tmp_path / "out", 4000)
