"""Every use case shipped as users do: `init USECASE shop && up && predict && down --all`; figures of the pack's record.

    python -m benchmarks usecases            # all that are not in the result file for this very code
    python -m benchmarks usecases fraud      # this one, again

Each has an empty home of its own, so that it is trained and measured in that run; only downloads are shared
(`ECOMDEPLOY_CACHE`). The result file is written after each, so a run that was cut off goes on where it stood; slices
taken with other code are dropped, not carried over.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs

from benchmarks._slices import kept, take
from modelpack.home import Home
from modelpack.image.oci.layout import Layout
from modelpack.usecases.base import usecases

ROOT = Path(__file__).resolve().parents[1]
CHOSEN = (
    "metric",
    "p50_ms",
    "p99_ms",
    "rows_per_cpu_s",
    "size_mb",
    "peak_mb",
    "usd_per_million",
    "agreement",
    "auc",
    "tokens_per_cpu_s",
    "refused_out_of_scope",
    "refused_in_scope",
)
TOOLS = ("lightgbm", "openvino", "tokenizers")


def main(arguments: list[str]) -> int:
    done = kept("usecases")
    wanted = arguments or [name for name in usecases().names() if name not in done]
    return take("usecases", wanted, shipped, TOOLS)


def shipped(name: str) -> dict[str, Any]:
    """One use case from nothing to an answer of its endpoint, on a local cloud of its own, which is gone afterwards.

    Raises RuntimeError with what a command said when it fails.
    """
    cache = Path(os.environ.get("ECOMDEPLOY_CACHE") or platformdirs.user_cache_path("ecomdeploy"))
    with tempfile.TemporaryDirectory(prefix="ecomdeploy-usecases-") as folder:
        place = Path(folder)
        own, shop = place / "cache", place / "shop"
        own.mkdir()
        # downloads are shared, trained models are not
        (own / "downloads").symlink_to(cache / "downloads")
        environment = {
            **os.environ,
            "ECOMDEPLOY_HOME": str(place / "home"),
            "ECOMDEPLOY_CACHE": str(own),
            "PYTHONPATH": str(ROOT),
        }
        told(["init", name, "shop"], place, environment)
        try:
            document, seconds = told(["up"], shop, environment)
            told(["predict"], shop, environment)
            _, again = told(["up"], shop, environment)
            told(["down", "--all", "--yes"], shop, environment)
        finally:
            told(["cloud", "stop"], shop, environment)
        image = Layout(Home(place / "home", own).images).size(document["image"].partition("@")[2])
    return {
        **figures(document["record"]),
        "image_mb": round(image / 1e6, 1),
        "first_up": seconds,
        "up_with_nothing_changed": again,
    }


def told(arguments: list[str], where: Path, environment: Mapping[str, str]) -> tuple[Any, dict[str, float]]:
    """What a command says as JSON, and the seconds it took, of the clock and of the processor. Raises RuntimeError
    when it fails.
    """
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "cli.app", *arguments, "--json"],
        cwd=where, env=dict(environment), capture_output=True, text=True,
    )  # fmt: skip
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{arguments}: exit {done.returncode}: {done.stderr.strip()[-600:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(done.stdout), {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1)}


def figures(record: Mapping[str, Any]) -> dict[str, Any]:
    """What of a record stands in the result file."""
    chosen, trained = record["chosen"], record["reference"]
    return {
        "metric": record["metric"],
        "baselines": [
            {"name": one["name"], "value": one["value"], "ahead": one["ahead"]} for one in record["baselines"]
        ],
        "as_trained": {name: trained[name] for name in CHOSEN if name in trained},
        "served": {name: chosen[name] for name in CHOSEN if name in chosen},
        "times": {
            "rows_per_cpu_s": ratio(chosen, trained, "rows_per_cpu_s"),
            "p50_ms": ratio(trained, chosen, "p50_ms"),
            "size_mb": ratio(chosen, trained, "size_mb"),
        },
        "passes": [one["name"] for one in record["passes"] if one["kept"]],
        "dropped": {one["name"]: one["reason"] for one in record["passes"] if not one["kept"]},
        "runtime": record["runtime"],
        "hardware": chosen["hardware"],
    }


def ratio(above: Mapping[str, Any], below: Mapping[str, Any], name: str) -> float | None:
    """The plain ratio of two figures; for paired ratios see the verdicts of the passes."""
    return round(above[name] / below[name], 3) if below.get(name) else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
