"""What the verbs cost on the local cloud: first `up`, `up` with nothing changed, rollback, plan; and the whole demo.

One project with its own home; downloads are cached, training and gate are part of the first `up`. Every command is a
process of its own, so CPU seconds hold its start-up; the local cloud's and the model servers' are not in them.
"""

from __future__ import annotations

import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 5


def measure() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        bench.run("init", "recommendation", "shop", cwd=Path(folder))
        try:
            return bench.figures()
        finally:
            bench.run("cloud", "stop")


STEP = re.compile(r"^\$ ecomdeploy (.*?)(?: --json)?$\n(?:(?!\$).*\n)*?    in ([0-9.]+) s$", re.MULTILINE)


def demo(folder: Path, environment: dict[str, str]) -> dict[str, Any]:
    """`make demo`'s program in an empty home, downloads cached: wall seconds of all, and of each command it types."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py"), str(folder / "demo-shop")],
        env=environment | {"ECOMDEPLOY_HOME": str(folder / "demo-home")}, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"the demo: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    steps = [{"command": command, "wall_s": float(seconds)} for command, seconds in STEP.findall(done.stdout)]
    return {"wall_s": round(time.monotonic() - began, 1), "steps": steps}


class Bench:
    """Runs commands in one project and times them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "shop"
        cache = os.environ.get("ECOMDEPLOY_CACHE") or str(Path.home() / ".cache" / "ecomdeploy")
        self.environment = {
            **os.environ, "ECOMDEPLOY_HOME": str(folder / "home"), "ECOMDEPLOY_CACHE": cache, "PYTHONPATH": str(ROOT)
        }  # fmt: skip

    def run(self, *arguments: str, cwd: Path | None = None) -> tuple[float, float, Any]:
        """Wall seconds, CPU seconds of the process and its waited children, and the JSON it gave."""
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "cli.app", *arguments, "--json"],
            cwd=cwd or self.folder, env=self.environment, capture_output=True, text=True,
        )  # fmt: skip
        wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise SystemExit(f"{arguments}: exit {done.returncode}\n{done.stderr}")
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return wall, cpu, json.loads(done.stdout)

    def figures(self) -> dict[str, Any]:
        first_wall, first_cpu, first = self.run("up", "--yes")
        nothing = [self.run("up", "--yes") for _ in range(ROUNDS)]
        self.edit("instance: ml.c7i.xlarge", "instance: ml.c7i.2xlarge")
        second_wall, second_cpu, second = self.run("up", "--yes")
        rollbacks = []
        for number in (1, 2) * 2 + (1,):
            rollbacks.append(self.run("rollback", str(number), "--yes"))
        plans = [self.run("plan") for _ in range(3)]
        return {
            "first_up": {"wall_s": first_wall, "cpu_s": first_cpu, "pushed_mb": first["pushed_bytes"] / 1e6},
            "up_nothing_changed": medians(nothing),
            "second_up_same_pack": {
                "wall_s": second_wall,
                "cpu_s": second_cpu,
                "pushed_mb": second["pushed_bytes"] / 1e6,
            },
            "rollback": medians(rollbacks),
            "plan": medians(plans),
            "predict": medians([self.run("predict") for _ in range(ROUNDS)]),
            "demo": demo(self.folder.parent, self.environment),
        }

    def edit(self, old: str, new: str) -> None:
        spec = self.folder / "ecomdeploy.yaml"
        spec.write_text(spec.read_text().replace(old, new))


def medians(runs: list[tuple[float, float, Any]]) -> dict[str, Any]:
    """Medians with the range."""
    walls, cpus = [run[0] for run in runs], [run[1] for run in runs]
    return {
        "rounds": len(runs),
        "wall_s": statistics.median(walls), "wall_range_s": [min(walls), max(walls)],
        "cpu_s": statistics.median(cpus), "cpu_range_s": [min(cpus), max(cpus)],
    }  # fmt: skip
