"""Tables of docs/performance.md: images and servers beside others, commands, a fresh machine of a pipeline."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks._page import head, row

Figures = Mapping[str, Any]
SCENARIOS = {
    "cold": "cold: nothing but the packages",
    "cold_with_base": "cold, peers with a base image",
    "unchanged": "nothing changed",
    "app_changed": "a line of the server changed",
    "model_changed": "the model changed (100 MB)",
    "fresh_app_changed": "a line changed, on a fresh machine",
}
RUNS = {
    "install": "an environment with ecomdeploy, wheels on disk",
    "plan_comment": "`plan --out`, `ci comment`",
    "plan_same_inputs": "`plan`",
    "up_same_inputs": "`up`",
    "up_app_changed": "`up`, a line of the server changed",
    "up_trained_anew": "`up`, the model trained anew",
}
VERBS = {"help": "`--help`", "up_nothing_changed": "`up`, nothing changed"}


def image(figures: Figures) -> Iterator[str]:
    """Seconds and bytes sent, by builder; then the bytes of a pull."""
    builders = list(figures["builders"])
    titles = [f"{one} {number_of(figures['builders'][one])}".strip() for one in builders]
    yield from head(["seconds; MB sent", *titles, "ours over the best"])
    for name, words in SCENARIOS.items():
        taken = figures["scenarios"][name]
        cells = [f"{taken[one]['wall_s']:.2f}; {taken[one]['new_bytes'] / 1e6:.2f}" for one in builders]
        yield row([words, *cells, over(taken["of_best_peer"])])
    sizes = [f"{figures['image_bytes'][one] / 1e6:.1f} MB" for one in builders]
    yield row(["the image, compressed", *sizes, ""])


def serve(figures: Figures) -> Iterator[str]:
    """CPU microseconds of a request by connections and rows."""
    servers = figures["servers"]
    scenarios = [name for name in next(iter(servers.values())) if " x " in name]
    words = [tell_scenario(one) for one in scenarios]
    yield from head(["CPU us a request", *words, "start, s", "memory, MB"])
    for name, taken in servers.items():
        cells = [f"{taken[one]['cpu_us']:,.0f}" for one in scenarios]
        version = figures["peers"].get(name, "").partition("==")[2] if "ceiling" not in name else ""
        yield row(
            [f"{name} {version}".strip(), *cells, f"{taken['start_s']:.2f}", f"{taken['memory_mb']:.0f}"]
        )
    for other in ("best_peer", "ceiling"):
        for name, ratios in figures[f"cpu_of_{other}"].items():
            cells = [f"{ratios[one]['median']:.2f}" for one in scenarios]
            yield row([f"{name} over the {other.replace('_', ' ')}", *cells, "", ""])


def tell_scenario(name: str) -> str:
    """64 at once, 1 row: of "64 x 1"."""
    connections, rows = name.split(" x ")
    return f"{connections} at once, {rows} row{'s' if rows != '1' else ''}"


def number_of(version: str) -> str:
    """1.28.2 of what a program says of itself."""
    found = re.search(r"\d+(\.\d+)+", version)
    return found.group() if found else ""


def over(ratio: Figures | None) -> str:
    if ratio is None:
        return ""
    least, most = ratio["range"]
    return f"{ratio['median']:.2f} ({least:.2f} to {most:.2f})"


def commands(figures: Figures) -> Iterator[str]:
    """Seconds of a command on a live service."""
    yield from head(["a command", "seconds", "CPU seconds", "CPU seconds of the local cloud"])
    yield from (timed(VERBS.get(name, f"`{name}`"), taken) for name, taken in figures.items())


def cold_ci(figures: Figures) -> Iterator[str]:
    """Seconds of a command on a machine with nothing but the checkout."""
    yield from head(["on a fresh machine", "seconds", "CPU seconds", "CPU seconds of the local cloud"])
    yield from (timed(words, figures[name]) for name, words in RUNS.items())


def timed(words: str, taken: Figures) -> str:
    cells = [f"{taken[name]:.2f}" for name in ("wall_s", "cpu_s", "local_cloud_cpu_s")]
    return row([words, *cells])
