"""Model servers beside each other, one model: ours from its image's own files, and those that others publish.

Twelve numbers in, three scores out, one product: the model takes next to nothing, so that the figures are those of
servers. One process each (or what the server starts for one worker), one thread of ONNX Runtime, JSON, connections
that stay open. Each server is started, asked for a known answer, warmed, and measured in every scenario; that is a
round, in which they take their turns. Figures are of CPU: what the server's whole tree took for a request, which bears
a busy machine, though the one who asks (bombardier, built from the Go modules that benchmarks/bombardier pins) runs on
the same cores. `start_s` is from the start of the program to its first right answer.

Peers are installed into environments of their own below the user's cache (some 1.2 GB). Beside them stands a ceiling:
`peers/ceiling.c`, which does nothing but what the figure cannot be without. Nothing is known here of GPUs.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from benchmarks import _peer_tables as tables
from benchmarks._page import write_part
from benchmarks._peers import (
    CEILING,
    PEERS,
    SERVERS,
    Protocol,
    Rows,
    end,
    free_port,
    install,
    read_tensor,
    write_instances,
    write_tensor,
)
from infra.rehearsal.cloud.servers.isolation import PlainProcess
from infra.rehearsal.cloud.servers.models import ModelHost
from tests.go_tool import GoTool

ROOT = Path(__file__).resolve().parents[1]
BOMBARDIER = GoTool(
    name="bombardier",
    module=ROOT / "benchmarks" / "bombardier",
    package="github.com/codesenberg/bombardier",
    pinned="github.com/codesenberg/bombardier",
)
ROUNDS, TAKEN, WARM = 3, 3, 1
"""Rounds; seconds of each scenario, and before the first of a server."""
SCENARIOS = tuple((connections, rows) for rows in (1, 100) for connections in (1, 16, 64))
SPEC = "version: 1\nservice: boutique\nusecase: ./shop.py:ShopRecs\nmodel: {path: model.onnx}\n"
OURS = ("ecomdeploy", "ecomdeploy v2")


def read_scores(told: Any) -> Any:
    return [row["scores"] for row in told["predictions"]]


def lacks() -> str:
    """Why it cannot be measured here."""
    if not shutil.which("cc"):
        return "there is no C compiler for the ceiling"
    return "" if BOMBARDIER.can_be_had() else "there is no Go to build bombardier with, which asks"


def write_page(figures: Mapping[str, Any]) -> None:
    """Its part of docs/performance.md."""
    write_part("serve", [*tables.serve(figures)])


def measure() -> dict[str, Any]:
    asker = BOMBARDIER.build()
    tools = {name: install(name, peer) for name, peer in SERVERS.items()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        digest = pack(folder / "shop", folder / "home")
        model = folder / "shop" / "model.onnx"
        rounds: list[dict[str, Any]] = []
        for number in range(ROUNDS):
            taken: dict[str, Any] = {}
            with start_ours(folder, digest) as (port, tree, began):
                for name, path, write, read in (
                    (OURS[0], "/invocations", write_instances, read_scores),
                    (OURS[1], "/v2/models/shop-recs/infer", write_tensor, read_tensor),
                ):
                    taken[name] = measure_one(asker, port, tree, began, Protocol(path, write, read))
                taken[OURS[1]]["start_s"] = taken[OURS[0]]["start_s"]
            for name, peer in SERVERS.items():
                own = folder / f"{name}-{number}"
                own.mkdir()
                port, began = free_port(), time.perf_counter()
                process = peer.start(tools[name], own, model, port)
                try:
                    tree = psutil.Process(process.pid)
                    taken[name] = measure_one(asker, port, tree, began, peer.protocol)
                finally:
                    end(process)
            rounds.append(taken)
            print(f"round {number + 1} of {ROUNDS}", file=sys.stderr)
    return {
        "asker": f"bombardier {BOMBARDIER.version()}",
        "rounds": ROUNDS,
        "peers": {name: peer.requirements[0] for name, peer in SERVERS.items()},
        **compare(rounds),
    }


def pack(folder: Path, home: Path) -> str:
    """Our image of the model; its digest."""
    shop = import_module("tests.support.own_shop")
    folder.mkdir()
    shop.write_shop(folder)
    shop.write_model(folder / "model.onnx")
    (folder / "ecomdeploy.yaml").write_text(SPEC)
    done = subprocess.run(
        [sys.executable, "-m", "cli.app", "pack", "--json"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "ECOMDEPLOY_HOME": str(home)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"pack: {done.stdout[-500:]}{done.stderr[-500:]}")
    return str(json.loads(done.stdout)["image"])


@contextmanager
def start_ours(folder: Path, digest: str) -> Iterator[tuple[int, psutil.Process, float]]:
    """By the image's own interpreter and files, which it verifies before it serves."""
    host = ModelHost(folder / "servers", "bench", folder / "home" / "images", [PlainProcess()])
    host.stop(host.start(f"bench/pack@{digest}", {}))  # unpacks the image
    began = time.perf_counter()
    server = host.start(f"bench/pack@{digest}", {})
    try:
        yield server.port, psutil.Process(server.pid), began
    finally:
        host.stop_all()


# ---- one server ----


def measure_one(
    asker: Path, port: int, tree: psutil.Process, began: float, protocol: Protocol
) -> dict[str, Any]:
    """By scenario "connections x rows", with its memory when all is done. Raises RuntimeError for a wrong answer."""
    url = f"http://127.0.0.1:{port}{protocol.path}"
    rows = np.random.default_rng(0).normal(size=(100, 12)).round(4).tolist()
    check(url, protocol, rows[:1])
    start = time.perf_counter() - began
    check(url, protocol, rows)
    found: dict[str, Any] = {"start_s": start}
    with tempfile.TemporaryDirectory() as name:
        body = Path(name) / "body"
        for connections, count in ((1, 1), *SCENARIOS):
            warming = "1 x 1" not in found and "warm" not in found
            body.write_text(json.dumps(protocol.write(rows[:count])))
            took = ask_on(asker, url, body, connections, WARM if warming else TAKEN, tree)
            found["warm" if warming else f"{connections} x {count}"] = took
    del found["warm"]
    found["memory_mb"] = sum(one.memory_full_info().pss for one in members(tree)) / 1e6
    return found


def check(url: str, protocol: Protocol, rows: Rows, seconds: float = 120) -> None:
    """That the answer is right, once there is one."""
    until = time.monotonic() + seconds
    said = ""
    while time.monotonic() < until:
        try:
            answer = httpx.post(url, json=protocol.write(rows), timeout=30)
        except httpx.TransportError as problem:
            said = str(problem)
        else:
            said = f"{answer.status_code}: {answer.text[:300]}"
            if answer.status_code == 200:
                np.testing.assert_allclose(protocol.read(answer.json()), np.array(rows)[:, :3], rtol=1e-4)
                return
        time.sleep(0.01)
    raise RuntimeError(f"{url}: {said}")


def members(tree: psutil.Process) -> list[psutil.Process]:
    return [tree, *tree.children(recursive=True)]


def cpu(tree: psutil.Process) -> float:
    """Seconds that all its processes have taken so far."""
    return sum(sum(one.cpu_times()[:2]) for one in members(tree))


def ask_on(
    asker: Path,
    url: str,
    body: Path,
    connections: int,
    seconds: int,
    tree: psutil.Process,
    headers: Sequence[str] = (),
) -> dict[str, float]:
    """Raises RuntimeError where an answer is not 200."""
    before = cpu(tree)
    words = [str(asker), "-c", str(connections), "-d", f"{seconds}s", "-m", "POST", "-f", str(body)]
    words += [word for one in ("Content-Type: application/json", *headers) for word in ("-H", one)]
    words += ["-t", "30s", "-l", "-o", "json", "-p", "r", url]
    told = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)["result"]
    taken = cpu(tree) - before
    answered, failed = told["req2xx"], {key: told[key] for key in ("req4xx", "req5xx", "others") if told[key]}
    if failed or not answered:
        raise RuntimeError(f"{url}, {connections} connections: {failed}, {answered} answered")
    percentiles = told["latency"]["percentiles"]
    return {
        "cpu_us": taken / answered * 1e6,
        "p50_ms": percentiles["50"] / 1000,
        "p99_ms": percentiles["99"] / 1000,
        "rps": answered / told["timeTakenSeconds"],
    }


# ---- all of them ----


def compare(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Medians by server, and ours over the CPU of the best peer and of the ceiling, round by round."""
    names = [f"{connections} x {rows}" for connections, rows in SCENARIOS]
    servers = {
        name: {
            **{key: median(rounds, name, key) for key in ("start_s", "memory_mb")},
            **{
                scenario: {key: median(rounds, name, scenario, key) for key in rounds[0][name][scenario]}
                for scenario in names
            },
        }
        for name in (*OURS, *SERVERS)
    }
    return {
        "servers": servers,
        **{
            f"cpu_of_{other}": {
                name: {scenario: ratio(rounds, name, scenario, among) for scenario in names} for name in OURS
            }
            for other, among in (("best_peer", tuple(PEERS)), ("ceiling", (CEILING,)))
        },
    }


def median(rounds: Sequence[Mapping[str, Any]], name: str, *keys: str) -> float:
    found = []
    for taken in rounds:
        value = taken[name]
        for key in keys:
            value = value[key]
        found.append(value)
    return round(float(statistics.median(found)), 3)


def ratio(
    rounds: Sequence[Mapping[str, Any]], name: str, scenario: str, among: Sequence[str]
) -> dict[str, Any]:
    """Ours over the least of the others', each round by itself."""
    found = [
        taken[name][scenario]["cpu_us"] / min(taken[peer][scenario]["cpu_us"] for peer in among)
        for taken in rounds
    ]
    return {
        "median": round(statistics.median(found), 3),
        "range": [round(min(found), 3), round(max(found), 3)],
    }
