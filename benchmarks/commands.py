"""What commands cost on a live service where nothing has changed, and a rollback; on the local cloud.

A project with a small model of its own, so that nothing trains; two releases that differ in a variable. Every command
is a process of its own, typed in rounds, one of each a round. CPU seconds are those of the process and all that it
waited for, with its start; the local cloud's are told apart, and the model servers' are in neither. `python -m
benchmarks commands` takes two to four minutes.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import _peer_tables as tables
from benchmarks._page import write_part

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 7
SPEC = """version: 1
service: boutique
usecase: ./shop.py:ShopRecs
model: {path: model.onnx}
serve: {environment: {COLOUR: red}}
"""
UNCHANGED = {
    "help": ("--help",),
    "status": ("status", "--json"),
    "predict": ("predict", "--json"),
    "plan": ("plan", "--json"),
    "up_nothing_changed": ("up", "--yes", "--json"),
}


def write_page(figures: Mapping[str, Any]) -> None:
    """Its part of docs/performance.md."""
    write_part("commands", [*tables.commands(figures)])


def measure() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder) / "shop", Path(folder) / "home")
        write_project(bench.folder)
        try:
            return figures(bench)
        finally:
            bench.run("cloud", "stop")


def write_project(folder: Path) -> None:
    shop = import_module("tests.support.own_shop")
    folder.mkdir()
    shop.write_shop(folder)
    shop.write_model(folder / "model.onnx")
    (folder / "ecomdeploy.yaml").write_text(SPEC)


def figures(bench: Bench) -> dict[str, Any]:
    bench.run("up", "--yes")
    bench.edit("COLOUR: red", "COLOUR: blue")
    bench.run("up", "--yes")
    for line in UNCHANGED.values():  # what is compiled or cached at its first use is no part of the figures
        bench.type(*line)
    runs: dict[str, list[Run]] = {name: [] for name in UNCHANGED}
    for _ in range(ROUNDS):
        for name, line in UNCHANGED.items():
            runs[name].append(bench.type(*line))
    if any(json.loads(done[2])["outcome"] != "nothing to do" for done in runs["up_nothing_changed"]):
        raise SystemExit("an `up` had something to do")
    runs["rollback"] = [
        bench.type("rollback", str(number), "--yes", "--json") for number in (1, 2) * 2 + (1,)
    ]
    return {name: medians(each) for name, each in runs.items()}


Run = tuple[float, float, str, float]
"""Wall seconds, CPU seconds, what was said on stdout, CPU seconds of the local cloud meanwhile."""


class Bench:
    """Runs commands in one project and times them."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder, self.home = folder, home
        cache = os.environ.get("ECOMDEPLOY_CACHE") or str(Path.home() / ".cache" / "ecomdeploy")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PULUMI_"))}
        ours = {"ECOMDEPLOY_HOME": str(home), "ECOMDEPLOY_CACHE": cache, "PYTHONPATH": str(ROOT)}
        self.environment = {**kept, **ours}

    def type(self, *arguments: str, cwd: Path | None = None) -> Run:
        before, began, cloud = (
            resource.getrusage(resource.RUSAGE_CHILDREN),
            time.monotonic(),
            self.cloud_cpu(),
        )
        done = subprocess.run(
            [sys.executable, "-m", "cli.app", *arguments],
            cwd=cwd or self.folder, env=self.environment, capture_output=True, text=True,
        )  # fmt: skip
        wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise SystemExit(f"{arguments}: exit {done.returncode}\n{done.stderr}")
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return wall, cpu, done.stdout, self.cloud_cpu() - cloud

    def run(self, *arguments: str, cwd: Path | None = None) -> tuple[float, float, Any]:
        """Wall and CPU seconds of a command, and the JSON it gave."""
        wall, cpu, said, _ = self.type(*arguments, "--json", cwd=cwd)
        return wall, cpu, json.loads(said)

    def cloud_cpu(self) -> float:
        """CPU seconds of the local cloud so far, without its model servers; 0 while it does not run."""
        import psutil

        from infra.rehearsal.cloud.client import LocalCloud
        from modelpack.errors import EcomdeployError
        from modelpack.home import Home

        try:
            pid = int(LocalCloud(Home(self.home, self.home / "cache")).status()["pid"])
            times = psutil.Process(pid).cpu_times()
        except (EcomdeployError, psutil.Error):
            return 0.0
        return float(times.user + times.system)

    def edit(self, old: str, new: str) -> None:
        spec = self.folder / "ecomdeploy.yaml"
        spec.write_text(spec.read_text().replace(old, new))


def medians(runs: list[Any]) -> dict[str, Any]:
    """Medians with the range."""
    walls, cpus = [run[0] for run in runs], [run[1] for run in runs]
    clouds = [run[3] for run in runs if len(run) > 3]
    return {
        "rounds": len(runs),
        "wall_s": statistics.median(walls), "wall_range_s": [min(walls), max(walls)],
        "cpu_s": statistics.median(cpus), "cpu_range_s": [min(cpus), max(cpus)],
        **({"local_cloud_cpu_s": statistics.median(clouds)} if clouds else {}),
    }  # fmt: skip
