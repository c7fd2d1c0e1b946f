"""What commands on a live service take where nothing has changed, counted instead of timed: none of it may rise.

Each is a process of its own (counted_command.py). Whoever makes one cheaper lowers its row here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from typed import Terminal

SUPPORT = Path(__file__).parent


@dataclass(frozen=True)
class Taken:
    """`heavy`: what it may import of counted_command.HEAVY; at most so many `modules` in all, opened `models` and
    `calls` to the local cloud; `reads` of one and the same source of `infra` (one as Python compiles it, one for its
    catalogue, one for what programs are made of), and of one description of an API (`described`). A preview or an
    update would import Pulumi: no row has that, so none is run."""

    heavy: frozenset[str] = frozenset()
    modules: int = 0
    models: int = 0
    calls: int = 0
    reads: int = 3
    described: int = 1


CLOUD = frozenset({"botocore"})
LOOKING = CLOUD | {"httpx", "numpy", "rich"}
LIMITS = {
    "--help": Taken(modules=230),
    "status": Taken(CLOUD, modules=690, calls=5),
    "predict": Taken(CLOUD, modules=625, calls=1),
    "plan": Taken(LOOKING, modules=1190, models=8, calls=50),
    "up --yes": Taken(LOOKING, modules=1240, models=8, calls=60),
    "rollback 1 --yes --json": Taken(CLOUD | {"numpy"}, modules=860, calls=30),
}
"""Of a service with one release and a model of its own; `rollback` to one that is still provisioned."""
UNCOUNTED = ("InvokeEndpoint", "sagemaker:DescribeEndpoint", "monitoring:GetMetricData")
"""What clients ask meanwhile, and what is asked as often as traffic takes to move."""


def take(terminal: Terminal, line: str) -> tuple[Taken, dict[str, int], str]:
    """What a command took, which must succeed, its calls by operation, and what it said on stdout."""
    from infra.rehearsal.cloud.client import LocalCloud
    from modelpack.home import Home

    cloud = LocalCloud(Home(terminal.home, terminal.home / "cache"))
    before = cloud.operations()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "counted.json"
        done = subprocess.run(
            [sys.executable, "-m", "counted_command", str(file), *line.split()],
            cwd=terminal.folder,
            env=terminal.environment
            | {"PYTHONPATH": os.pathsep.join((str(SUPPORT), str(SUPPORT.parents[1])))},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        counted = json.loads(file.read_text())
    made = {name: count - before.get(name, 0) for name, count in cloud.operations().items()}
    calls = {name: count for name, count in made.items() if count and not name.endswith(UNCOUNTED)}
    heavy, modules, models = frozenset(counted["heavy"]), counted["modules"], counted["models"]
    reads, described = (sum(times for _, times in counted[what]) for what in ("reads", "described"))
    return Taken(heavy, modules, models, sum(calls.values()), reads, described), calls, done.stdout


def takes_no_more(terminal: Terminal, line: str) -> str:
    """What the command said, which took no more than its row says."""
    (taken, calls, said), most = take(terminal, line), LIMITS[line]
    assert taken.heavy <= most.heavy, f"{line} imports {sorted(taken.heavy - most.heavy)}"
    for what in ("modules", "models", "calls", "reads", "described"):
        took, limit = getattr(taken, what), getattr(most, what)
        assert took <= limit, f"{line}: {took} {what}, at most {limit}; calls: {calls}"
    return said
