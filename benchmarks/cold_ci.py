"""A fresh machine of a pipeline: from a checkout with its `pack.lock` to the plan's comment, and to what serves.

The service was shipped before, from another machine, with a model that was trained. For each figure the home has
nothing but the local cloud (its images, packs and verdicts are taken away, and the cache of models); wheels and Debian
packages are the machine's, as pipelines cache them by `pack.lock`. `app_changed` runs a copy of these sources in
which a file of the server has one more line each round; `trained_anew` does so with a lock of before, which does not
name the model. `python -m benchmarks cold_ci` takes some ten minutes, two trainings among them.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.commands import ROOT, Bench, Run, medians

ROUNDS = 3
PACKAGES = ("cli", "stacks", "infra", "modelpack")
CHANGED = "modelpack/server/http/asgi.py"
SPEC = "version: 1\nservice: boutique\nusecase: recommendation\n"


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
