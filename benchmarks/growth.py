"""How cost grows: commands with the releases behind them, a stack with its resources, an answer with the catalogue,
an image with its model.

*Releases*: a service that is live on the local cloud, whose ledger is then made longer by the ledger's own code, four
events a release as an `up` writes them; CPU seconds of whole commands. *Resources*: parameters that the embedded
engine makes on the local cloud; CPU seconds of the process that holds engine, program and provider. *Catalogue*: the
recommenders with tables of made numbers, exported as every pack's reference is; one row at a time on one thread.
*Model*: an image whose other layers are there, built and pushed with weights of random numbers to Debian's
docker-registry; CPU seconds of the process that does it, and the most memory that it ever had.

`python -m benchmarks growth` takes about eight minutes, and 16 GB of the disk for temporary files.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks._growth_page import write as write_page
from benchmarks.commands import ROOT, Bench, write_project
from benchmarks.image import lacks, start_registry, write_context, write_model

RELEASES = (1, 10, 100, 1000)
RESOURCES = (2, 20, 200)
PRODUCTS, HOUSEHOLDS = (12_000, 120_000, 1_200_000), 2_469
"""As many products as the demo's data has, ten and a hundred times as many."""
MODEL_MB = (4, 40, 400, 4000)
COMPRESSED = 0.9
"""Of weights of random numbers, a little less than is left of them once they are compressed."""
ROUNDS, ROWS = 3, 60
__all__ = ["lacks", "measure", "write_page"]
COMMANDS = {
    "status": ("status",),
    "releases": ("releases",),
    "plan": ("plan",),
    "up_nothing_changed": ("up", "--yes"),
}


def measure() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench = Bench(folder / "shop", folder / "home")
        write_project(bench.folder)
        try:
            bench.run("up", "--yes")
            releases = {str(count): grow_history(bench, count) for count in RELEASES}
            resources = {str(count): live(bench, folder / f"stack-{count}", count) for count in RESOURCES}
        finally:
            bench.run("cloud", "stop")
        catalogue = [
            answer(kind, products, folder / f"{kind}-{products}")
            for kind in ("one-stage", "two-stage")
            for products in PRODUCTS
        ]
        context = write_context(folder / "context")
        image = {str(size): build_image(context, folder / f"model-{size}", size) for size in MODEL_MB}
    return {"releases": releases, "resources": resources, "catalogue": catalogue, "image": image}


# ---- releases ----


def grow_history(bench: Bench, count: int) -> dict[str, float]:
    """CPU seconds of each command with so many releases; the first `up` of them, which publishes, is not counted."""
    lengthen(bench.folder / ".ecomdeploy" / "local", count)
    bench.run("up", "--yes")
    rounds = [{name: bench.run(*words)[1] for name, words in COMMANDS.items()} for _ in range(ROUNDS)]
    return {name: round(statistics.median(one[name] for one in rounds), 2) for name in COMMANDS}


def lengthen(folder: Path, count: int) -> None:
    """As if what is live had been shipped again and again."""
    from stacks.records.ledger import Ledger
    from stacks.records.release import State
    from stacks.records.store import FolderStore

    ledger = Ledger(FolderStore(folder), lambda: datetime.now(UTC), "ledger/")
    ledger.catch_up()
    ledger.token = ledger.newest_token
    live = ledger.live()
    while live and len(ledger.known) < count:
        begun = ledger.begin(live)
        for state in (State.PROVISIONED, State.SHIFTING):
            ledger.record(begun.number, state)
        ledger.finish(begun.number)


# ---- resources ----


def live(bench: Bench, folder: Path, count: int) -> dict[str, float]:
    """CPU seconds of a stack's operations, from nothing to nothing."""
    import pulumi_aws

    from infra.rehearsal.cloud.client import LocalCloud
    from infra.rehearsal.engine.commands.command import EmbeddedPulumiCommand
    from infra.rehearsal.providers.aws.provider import AwsProviders
    from modelpack.home import Home

    lab = import_module("tests.infra.engine.conftest").Lab(
        folder,
        command=EmbeddedPulumiCommand(AwsProviders()),
        variables=LocalCloud(Home(bench.home, bench.home / "cache")).environment(),
    )

    def program() -> None:
        for number in range(count):
            pulumi_aws.ssm.Parameter(f"p{number}", name=f"/{count}/{number}", type="String", value="1")

    stack = lab.stack(program)
    stack.set_config("aws:region", import_module("pulumi").automation.ConfigValue("us-east-1"))
    operations: dict[str, Callable[[], object]] = {
        "first_up": stack.up,
        "plan": stack.preview,
        "up_nothing_changed": stack.up,
        "refresh": stack.refresh,
        "destroy": stack.destroy,
    }
    return {name: spend(operation) for name, operation in operations.items()}


def spend(operation: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    began = time.process_time()
    operation()
    return round(time.process_time() - began, 3)


# ---- catalogue ----


def answer(kind: str, products: int, folder: Path) -> dict[str, Any]:
    """Microseconds of one row, and megabytes of what serves it."""
    import numpy as np
    import onnxruntime
    import torch

    from modelpack.formats.variant import TORCH, Variant
    from modelpack.passes.base import PassContext
    from modelpack.passes.onnx import OnnxExport
    from modelpack.usecases.recommendation import Recommendation
    from modelpack.usecases.recommendation.architectures import KINDS
    from modelpack.usecases.recommendation.model import RecommenderShape, save

    random, shape = np.random.default_rng(1), RecommenderShape(HOUSEHOLDS, products)
    torch.manual_seed(1)
    model = KINDS[kind](shape).eval()
    model.households.know(torch.arange(1, HOUSEHOLDS + 1))
    model.catalogue.know(torch.arange(1, products + 1))
    rows = {
        "household": random.integers(1, HOUSEHOLDS + 1, ROWS),
        "history": random.integers(1, products + 1, (ROWS, shape.history)),
    }
    (folder / "trained").mkdir(parents=True)
    save(model, folder / "trained" / "model.safetensors")
    trained = Variant(TORCH, folder / "trained" / "model.safetensors")
    served = OnnxExport().apply(trained, PassContext(Recommendation(), rows, folder / "served"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(served.path, options, providers=["CPUExecutionProvider"])
    spent = []
    for row in range(ROWS):
        began = time.perf_counter()
        session.run(None, {name: values[row : row + 1] for name, values in rows.items()})
        spent.append(time.perf_counter() - began)
    return {
        "architecture": kind,
        "products": products,
        "row_us": round(statistics.median(spent) * 1e6, 1),
        "size_mb": round(sum(file.stat().st_size for file in served.files.values()) / 1e6, 1),
    }


# ---- image ----


def build_image(context: Path, folder: Path, megabytes: int) -> dict[str, float]:
    """CPU seconds and megabytes of memory of a build with so large a model, after one with a small one."""
    with start_registry(folder / "registry") as registry:
        command = [
            sys.executable,
            "-m",
            "benchmarks.image_program",
            context,
            folder,
            f"{registry.host}/shop:latest",
        ]
        sizes = []
        for size in (1, megabytes):
            write_model(context, size * 1_000_000)
            process = subprocess.Popen(list(map(str, command)), cwd=ROOT)
            peak, spent = watch(process)
            if process.returncode:
                raise SystemExit(f"the image with a model of {size} MB was not built")
            sizes.append(registry.size())
    shutil.rmtree(folder)
    if sizes[1] - sizes[0] < COMPRESSED * megabytes * 1_000_000:
        raise SystemExit(f"the registry has {sizes[1] - sizes[0]} bytes more: not a model of {megabytes} MB")
    return {"cpu_s": round(spent, 2), "peak_mb": round(peak, 1)}


def watch(process: subprocess.Popen[bytes]) -> tuple[float, float]:
    """The most megabytes that a program ever had, and its CPU seconds. (`ru_maxrss` would count this process, which it
    was forked from.)"""
    peak = 0.0
    while True:
        with suppress(OSError):
            status = Path(f"/proc/{process.pid}/status").read_text()
            if found := re.search(r"VmHWM:\s+(\d+) kB", status):
                peak = int(found[1]) * 1024 / 1e6
        ended, code, spent = os.wait4(process.pid, os.WNOHANG)
        if ended:
            process.returncode = os.waitstatus_to_exitcode(code)
            return peak, spent.ru_utime + spent.ru_stime
        time.sleep(0.01)
