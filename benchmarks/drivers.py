"""The base stack's operations by the embedded engine and by the real Pulumi CLI, in turn on one local cloud.

Each operation is a process of its own (benchmarks/drivers_program.py), so its CPU seconds hold the start of Python.
The CLI is the one of tests/reality/pulumi. Its AWS provider is ours, served from this process: AWS's own is a program
of several hundred megabytes that no test of ours starts. Its CPU is counted, its start is not. Of walls nothing is
told: CPU seconds bear a busy machine better, and a ratio is of the two runs of one round.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from infra.rehearsal.cloud.client import LocalCloud
from infra.rehearsal.providers.aws.provider import AwsProviders
from modelpack.home import Home
from tests.reality.plugins import PluginHub
from tests.reality.pulumi.build import build, has_go, pinned_version, place

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 3
OPERATIONS = {"first_up": "up", "plan": "preview", "up_unchanged": "up", "up_refresh": "refresh"}
DRIVERS = ("embedded", "pulumi")


def lacks() -> str:
    """Why it cannot be measured here."""
    return "" if has_go() or place().exists() else "there is no Go to build the Pulumi CLI with"


def measure() -> dict[str, Any]:
    binary = build()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cloud = LocalCloud(Home(folder / "home", folder / "home" / "cache"))
        cloud.ensure()
        hub = PluginHub(folder / "pulumi")
        hub.install("aws", "7.51.1", AwsProviders())
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PULUMI_"))},
            "PATH": f"{binary.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PULUMI_HOME": str(hub.home),
            "ECOMDEPLOY_HOME": str(folder / "home"),
        }
        try:
            rounds = [
                {driver: live(folder / f"{number}-{driver}", driver, environment) for driver in DRIVERS}
                for number in range(ROUNDS)
            ]
        finally:
            cloud.stop()
            hub.close()
    return {
        "pulumi_cli": pinned_version(),
        "stack": "base",
        "rounds": ROUNDS,
        "machine_is_shared": True,
        **{operation: compare(rounds, operation) for operation in OPERATIONS},
    }


def live(project: Path, driver: str, environment: dict[str, str]) -> dict[str, float]:
    """CPU seconds of each operation, from nothing to nothing."""
    project.mkdir()
    given = environment | {"ECOMDEPLOY_DRIVER": driver}
    spent = {name: cpu_seconds(project, verb, given) for name, verb in OPERATIONS.items()}
    cpu_seconds(project, "destroy", given)
    return spent


def cpu_seconds(project: Path, verb: str, environment: dict[str, str]) -> float:
    """Of the operation, its children, and the provider here."""
    before = spent_here()
    subprocess.run(
        [sys.executable, "-m", "benchmarks.drivers_program", str(project), verb], env=environment, check=True
    )
    return spent_here() - before


def spent_here() -> float:
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in both)


def compare(rounds: list[dict[str, dict[str, float]]], operation: str) -> dict[str, Any]:
    """Median CPU seconds of both, and the median and range of the rounds' ratios."""
    ratios = [one["pulumi"][operation] / one["embedded"][operation] for one in rounds]
    spent = {driver: [one[driver][operation] for one in rounds] for driver in DRIVERS}
    return {
        **{f"{driver}_cpu_s": round(statistics.median(spent[driver]), 2) for driver in DRIVERS},
        "pulumi_per_embedded": round(statistics.median(ratios), 2),
        "range": [round(min(ratios), 2), round(max(ratios), 2)],
    }
