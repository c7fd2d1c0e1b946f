"""The recommender's data, by the engine or by pandas: `python -m benchmarks.data_program WAY FOLDER`, its figures as
JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from modelpack.home import Home
from modelpack.inputs.data.reading import prepare_source
from modelpack.inputs.data_places import source_of
from modelpack.inputs.spec import DataSpec
from modelpack.progress import Silent
from modelpack.usecases.base import usecases
from modelpack.usecases.recommendation import own


def by_engine(folder: Path) -> int:
    """As `pack` does it, the checks of columns and values among it. Purchases that training gets."""
    data, home = DataSpec(source="purchases"), Home(folder / "home", folder / "cache")
    source = source_of(folder, data, own.OWN)
    made, _ = prepare_source(usecases().get("recommendation"), source, data, home, Silent())
    return len(made.line_product)


def by_pandas(folder: Path) -> int:
    """Read and split, and nothing checked."""
    import pandas as pd

    return len(own.load({"purchases": pd.read_parquet(folder / "purchases")}).line_product)


def main(way: str, folder: Path) -> None:
    began = time.perf_counter()
    purchases = {"engine": by_engine, "pandas": by_pandas}[way](folder)
    used = resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_s": round(used.ru_utime + used.ru_stime, 1),
        "memory_mb": round(used.ru_maxrss * 1024 / 1e6),
        "purchases": purchases,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
