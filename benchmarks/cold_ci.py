"""A fresh machine of a pipeline: from a checkout with its `pack.lock` to the plan's comment, and to what serves.

The service was shipped before, from another machine, with a model that was trained. For each figure the home has
nothing but the local cloud (its images, packs and verdicts are taken away, and the cache of models); wheels and Debian
packages are the machine's, as pipelines cache them by `pack.lock`. `install` makes an environment with this package in
it, of wheels that are on disk; `plan_comment` is the plan, written down, and the comment that tells it. `app_changed`
runs a copy of these sources in which a file of the server has one more line each round; `trained_anew` does so with a
lock of before, which does not name the model. `python -m benchmarks cold_ci` takes some twelve minutes, two trainings
among them.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import _peer_tables as tables
from benchmarks._page import write_part
from benchmarks.commands import ROOT, Bench, Run, medians

ROUNDS = 3
PACKAGES = ("cli", "stacks", "infra", "modelpack")
CHANGED = "modelpack/server/http/asgi.py"
SPEC = "version: 1\nservice: boutique\nusecase: recommendation\n"


def write_page(figures: Mapping[str, Any]) -> None:
    """Its part of docs/performance.md."""
    write_part("cold_ci", [*tables.cold_ci(figures)])


def measure() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        machine = FreshMachine(Path(folder))
        try:
            return figures(machine)
        finally:
            machine.run("cloud", "stop")


def figures(machine: FreshMachine) -> dict[str, Any]:
    machine.run("up", "--yes")
    found = {
        "install": [install(machine.folder.parent) for _ in range(ROUNDS)],
        "plan_comment": machine.comment_rounds(),
        "plan_same_inputs": machine.time_rounds("plan", "--json"),
        "up_same_inputs": machine.time_rounds("up", "--yes", "--json"),
        "up_app_changed": machine.time_rounds("up", "--yes", "--json", before=machine.change_app),
        "up_trained_anew": machine.time_rounds(
            "up", "--yes", "--json", before=machine.forget_model, rounds=1
        ),
    }
    images = {json.loads(said)["image"] for _, _, said, _ in found["up_app_changed"]}
    if len(images) != ROUNDS:
        raise SystemExit("the copy of the sources was not what ran: a changed server has another image")
    return {name: medians(runs) for name, runs in found.items()}


def install(place: Path) -> Run:
    """An environment of its own with this package, without an index; what is downloaded before is not counted."""
    wheels, environment = place / "wheels", place / "environment"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    if not wheels.exists():
        subprocess.run([*pip, "wheel", "--wheel-dir", str(wheels), str(ROOT)], check=True)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    pip = [str(environment / "bin" / "python"), *pip[1:]]
    # as the pipelines of `ci init` do
    words = ["install", "--no-compile", "--no-index", "--find-links", str(wheels), "ecomdeploy"]
    subprocess.run([*pip, *words], check=True)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    shutil.rmtree(environment)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, "", 0.0


class FreshMachine(Bench):
    """Types commands as a machine would that has only the checkout."""

    def __init__(self, place: Path) -> None:
        super().__init__(place / "shop", place / "home")
        self.folder.mkdir()
        (self.folder / "ecomdeploy.yaml").write_text(SPEC)
        self.sources, self.cache = place / "sources", place / "cache"
        for name in PACKAGES:
            shutil.copytree(ROOT / name, self.sources / name)
        self.cache.mkdir()
        (self.cache / "downloads").symlink_to(Path(self.environment["ECOMDEPLOY_CACHE"]) / "downloads")
        self.environment |= {"ECOMDEPLOY_CACHE": str(self.cache), "PYTHONPATH": str(self.sources)}

    def time_rounds(
        self, *line: str, before: Callable[[], None] = lambda: None, rounds: int = ROUNDS
    ) -> list[Run]:
        """The command, its machine made fresh before each round."""
        runs = []
        for _ in range(rounds):
            before()
            self.forget()
            runs.append(self.type(*line))
        return runs

    def comment_rounds(self) -> list[Run]:
        """The plan and its comment, which says what the plan does."""
        runs = []
        for _ in range(ROUNDS):
            self.forget()
            planned, told = (
                self.type("plan", "--out", "plan.json", "--json"),
                self.type("ci", "comment", "plan.json"),
            )
            if "boutique" not in told[2]:
                raise SystemExit(f"the comment does not tell of the service: {told[2]}")
            runs.append((planned[0] + told[0], planned[1] + told[1], told[2], planned[3] + told[3]))
        return runs

    def forget(self) -> None:
        """All that is not the checkout, the cloud or a cache by digests."""
        for name in ("images", "packs", "locked"):
            shutil.rmtree(self.home / name, ignore_errors=True)
        shutil.rmtree(self.cache / "models", ignore_errors=True)

    def change_app(self) -> None:
        """One more line in a file of the server."""
        with (self.sources / CHANGED).open("a") as file:
            file.write("# changed\n")

    def forget_model(self) -> None:
        """The lock as it was before it named what was made, and the server changed."""
        lock = self.folder / "pack.lock"
        held = json.loads(lock.read_text())
        held["verdict"].pop("made")
        lock.write_text(json.dumps(held))
        self.change_app()
