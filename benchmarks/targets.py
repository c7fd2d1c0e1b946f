"""One pack on SageMaker and on KServe, both of one local cloud: the next release, and an `up` that finds nothing to do.

Two projects with the same small model of one's own, so that nothing trains and one image serves both; releases differ
in a variable. The two take turns. Wall seconds of the whole command, with the rollout and its verification; CPU seconds
of the command alone, those of the local cloud apart. `python -m benchmarks targets` takes some three minutes.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.commands import Bench, Run, medians, write_project
from benchmarks.kubernetes import lacks
from infra.rehearsal.cloud.client import LocalCloud
from modelpack.home import Home
from modelpack.progress import Silent

TARGETS = ("sagemaker", "kserve")
ROUNDS = 3
__all__ = ["lacks", "measure"]


def measure() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home = folder / "home"
        shops = {target: begin(folder / target, home, target) for target in TARGETS}
        try:
            cache = Path(shops["kserve"].environment["ECOMDEPLOY_CACHE"])
            LocalCloud(Home(home, cache)).ensure_kubernetes(Silent())
            for shop in shops.values():
                shop.run("up", "--yes")
            return compare([take_round(shops, number) for number in range(ROUNDS)])
        finally:
            shops["kserve"].run("cloud", "stop")


def begin(folder: Path, home: Path, target: str) -> Bench:
    shop = Bench(folder, home)
    write_project(shop.folder)
    shop.edit("serve: {", f"serve: {{target: {target}, ")
    shop.edit("service: boutique", f"service: {target}-shop")
    return shop


def take_round(shops: Mapping[str, Bench], number: int) -> dict[str, dict[str, Run]]:
    """The next release of each, then an `up` of each that has nothing to do."""
    before = f'COLOUR: "{number}"' if number else "COLOUR: red"
    after = f'COLOUR: "{number + 1}"'
    taken: dict[str, dict[str, Run]] = {target: {} for target in shops}
    for target, shop in shops.items():
        shop.edit(before, after)
        taken[target]["next_release"] = ship(shop, "live")
    for target, shop in shops.items():
        taken[target]["up_nothing_changed"] = ship(shop, "nothing to do")
    return taken


def ship(shop: Bench, expected: str) -> Run:
    """Raises SystemExit where the `up` did something else than it is measured for."""
    run = shop.type("up", "--yes", "--json")
    outcome = json.loads(run[2])["outcome"]
    if outcome != expected:
        raise SystemExit(f"an `up` said {outcome!r} and not {expected!r}")
    return run


def compare(rounds: list[dict[str, dict[str, Run]]]) -> dict[str, Any]:
    """Medians, and KServe's wall seconds over SageMaker's of the same round."""
    found: dict[str, Any] = {}
    for name in rounds[0]["kserve"]:
        ratios = [one["kserve"][name][0] / one["sagemaker"][name][0] for one in rounds]
        found[name] = {
            **{target: medians([one[target][name] for one in rounds]) for target in TARGETS},
            "kserve_over_sagemaker": round(statistics.median(ratios), 3),
            "range": [round(min(ratios), 3), round(max(ratios), 3)],
        }
    return found
