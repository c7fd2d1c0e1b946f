"""What predictions cost at the declared instance: figures of a record, priced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelpack.runtimes.hardware import CPU

HOUR, MILLION = 3600, 1_000_000
CPU_FIGURES = "1 thread of"
"""How the benches name a processor (`modelpack.runtimes.hardware.hardware`)."""


def add_prices(record: Mapping[str, Any], instance: str, usd_hour: float | None) -> dict[str, Any]:
    """The record with dollars per million predictions beside every figure, at the instance's price per hour.

    One server process answers on one thread, so an hour of the instance is 3600 CPU-seconds of predictions in full
    batches: the least a prediction costs, without HTTP and idle time. None where there is no price, and for a GPU pack
    whose figures were taken on a CPU: what they would be on the GPU nobody has measured.
    """
    needs = record.get("needs", {}).get("hardware", CPU)
    measured = record["chosen"].get("hardware") or ""
    usd_hour = usd_hour if needs == CPU or not measured.startswith(CPU_FIGURES) else None
    again: dict[str, Any] = {
        **record,
        "cost": {"instance": instance, "usd_hour": usd_hour},
        "reference": dollars(record["reference"], usd_hour),
        "chosen": dollars(record["chosen"], usd_hour),
        "passes": [dollars(one, usd_hour) for one in record["passes"]],
    }
    if search := record.get("search"):
        again["search"] = {**search, "points": [dollars(one, usd_hour) for one in search["points"]]}
    return again


def dollars(figures: Mapping[str, Any], usd_hour: float | None) -> dict[str, Any]:
    """The figures with `usd_per_million`."""
    rows = figures.get("rows_per_cpu_s")
    cost = round(usd_hour / HOUR / rows * MILLION, 6) if usd_hour is not None and rows else None
    return {**figures, "usd_per_million": cost}
