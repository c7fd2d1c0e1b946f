"""The embedded engine and the real Pulumi CLI, in turn on one local cloud: the base stack's operations, whole commands.

Each operation is a process of its own (benchmarks/drivers_program.py), so its CPU seconds hold the start of Python.
Whole commands are typed in a project with a small model of one's own that is packed before: lease, push, both stacks,
route and verification; the CPU of the cloud and its model servers is not in them.
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
from importlib import import_module
from pathlib import Path
from typing import Any

from infra.rehearsal.cloud.client import LocalCloud
from infra.rehearsal.providers.aws.provider import AwsProviders
from modelpack.home import Home
from tests.reality.plugins import PluginHub
from tests.reality.pulumi.build import PULUMI

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 3
OPERATIONS = {"first_up": "up", "plan": "preview", "up_unchanged": "up", "up_refresh": "refresh"}
COMMANDS = {
    "first_up": ("up", "--yes"),
    "plan": ("plan",),
    "up_unchanged": ("up", "--yes"),
    "up_refresh": ("up", "--refresh", "--yes"),
}
DRIVERS = ("embedded", "pulumi")
SPEC = "version: 1\nservice: boutique\nusecase: ./shop.py:ShopRecs\nmodel: {path: model.onnx}\n"


def lacks() -> str:
    """Why it cannot be measured here."""
    return "" if PULUMI.can_be_had() else "there is no Go to build the Pulumi CLI with"


def measure() -> dict[str, Any]:
    binary = PULUMI.build()
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
        typed = write_project(folder / "typed", environment)
        try:
            rounds = [
                {driver: live(folder / f"{number}-{driver}", driver, environment) for driver in DRIVERS}
                for number in range(ROUNDS)
            ]
            whole = [
                {driver: live_whole(typed, driver, environment) for driver in DRIVERS} for _ in range(ROUNDS)
            ]
        finally:
            cloud.stop()
            hub.close()
    return {
        "pulumi_cli": PULUMI.version(),
        "rounds": ROUNDS,
        "machine_is_shared": True,
        "base_stack": {operation: compare(rounds, operation) for operation in OPERATIONS},
        "whole_commands": {command: compare(whole, command) for command in COMMANDS},
    }


def live(project: Path, driver: str, environment: dict[str, str]) -> dict[str, float]:
    """CPU seconds of each operation, from nothing to nothing."""
    project.mkdir()
    given = environment | {"ECOMDEPLOY_DRIVER": driver}
    spent = {name: cpu_seconds(project, verb, given) for name, verb in OPERATIONS.items()}
    cpu_seconds(project, "destroy", given)
    return spent


def write_project(project: Path, environment: dict[str, str]) -> Path:
    """Packed, so that no command trains, measures or builds."""
    shop = import_module("tests.support.own_shop")
    project.mkdir()
    shop.write_shop(project)
    shop.write_model(project / "model.onnx")
    (project / "ecomdeploy.yaml").write_text(SPEC)
    type_command(project, ("pack",), environment)
    return project


def live_whole(project: Path, driver: str, environment: dict[str, str]) -> dict[str, float]:
    """CPU seconds of each command, from nothing to nothing."""
    given = environment | {"ECOMDEPLOY_DRIVER": driver}
    spent = {name: type_command(project, words, given) for name, words in COMMANDS.items()}
    type_command(project, ("down", "--all", "--yes"), given)
    return spent


def type_command(project: Path, words: tuple[str, ...], environment: dict[str, str]) -> float:
    return spend(["cli.app", *words, "--json"], project, environment)


def cpu_seconds(project: Path, verb: str, environment: dict[str, str]) -> float:
    return spend(["benchmarks.drivers_program", str(project), verb], project, environment)


def spend(words: list[str], project: Path, environment: dict[str, str]) -> float:
    """CPU seconds of a command, its children, and the provider here."""
    before = spent_here()
    ended = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
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
