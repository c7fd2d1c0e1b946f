"""What shipping takes on the local cloud where a model is trained: first `up`, a changed one, rollback; the whole demo.

One project with its own home; downloads are cached, training and gate are part of the first `up`. Commands are timed as
in benchmarks/commands.py.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.commands import ROOT, Bench, medians


def measure() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder) / "shop", Path(folder) / "home")
        bench.run("init", "recommendation", "shop", cwd=Path(folder))
        try:
            return figures(bench)
        finally:
            bench.run("cloud", "stop")


def figures(bench: Bench) -> dict[str, Any]:
    first_wall, first_cpu, first = bench.run("up", "--yes")
    bench.edit("instance: ml.c7i.xlarge", "instance: ml.c7i.2xlarge")
    second_wall, second_cpu, second = bench.run("up", "--yes")
    return {
        "first_up": {"wall_s": first_wall, "cpu_s": first_cpu, "pushed_mb": first["pushed_bytes"] / 1e6},
        "second_up_same_pack": {
            "wall_s": second_wall,
            "cpu_s": second_cpu,
            "pushed_mb": second["pushed_bytes"] / 1e6,
        },
        "rollback": medians([bench.run("rollback", str(number), "--yes") for number in (1, 2) * 2 + (1,)]),
        "demo": demo(bench.folder.parent, bench.environment),
    }


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
