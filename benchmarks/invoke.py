"""InvokeEndpoint through the local cloud beside the same image asked at its own port.

The same request both ways, by the same asker (bombardier); it is signed once, for the local cloud takes a signature for
15 minutes. CPU is that of the whole process tree: the local cloud with its model server, or a model server alone. The
two take turns. `python -m benchmarks invoke` takes about two minutes.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from benchmarks._peers import write_instances
from benchmarks.commands import Bench, write_project
from benchmarks.serve import BOMBARDIER, ask_on, lacks, start_ours
from infra.aws_session import AwsSession
from infra.rehearsal.cloud.client import LocalCloud
from modelpack.home import Home

CONNECTIONS = (1, 16)
ROUNDS, TAKEN, WARM = 3, 3, 1
"""Rounds; seconds of each turn, and before the first."""
__all__ = ["lacks", "measure"]


def measure() -> dict[str, Any]:
    asker = BOMBARDIER.build()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench = Bench(folder / "shop", folder / "home")
        write_project(bench.folder)
        rows = np.random.default_rng(0).normal(size=(1, 12)).round(4).tolist()
        body = folder / "body"
        body.write_text(json.dumps(write_instances(rows)))
        try:
            _, _, shipped = bench.run("up", "--yes")
            cloud = LocalCloud(Home(bench.home, bench.home / "cache"))
            with start_ours(folder, shipped["image"].partition("@")[2]) as (
                port,
                server,
                _,
            ):
                await_ready(f"http://127.0.0.1:{port}/ping")
                url, headers = sign(cloud, body.read_bytes())
                daemon = psutil.Process(int(cloud.status()["pid"]))
                ways = {
                    "direct": (f"http://127.0.0.1:{port}/invocations", server, ()),
                    "local cloud": (url, daemon, headers),
                }
                return compare(take(asker, body, ways))
        finally:
            bench.run("cloud", "stop")


def await_ready(url: str) -> None:
    """It opens its port a while after it was begun, and is ready a while after that."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url).status_code == 200:
                return
        time.sleep(0.05)
    raise RuntimeError(f"{url} is not ready after two minutes")


def sign(cloud: LocalCloud, body: bytes) -> tuple[str, tuple[str, ...]]:
    """Where the endpoint is asked, and the headers of a request with this body."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    variables = cloud.environment()
    [endpoint] = AwsSession(variables).client("sagemaker").list_endpoints()["Endpoints"]
    url = f"{variables['AWS_ENDPOINT_URL']}/endpoints/{endpoint['EndpointName']}/invocations"
    request = AWSRequest("POST", url, data=body, headers={"Content-Type": "application/json"})
    secret = Credentials(variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"])
    SigV4Auth(secret, "sagemaker", variables["AWS_REGION"]).add_auth(request)
    return url, tuple(f"{name}: {value}" for name, value in request.headers.items() if name != "Content-Type")


Ways = dict[str, tuple[str, psutil.Process, tuple[str, ...]]]


def take(asker: Path, body: Path, ways: Ways) -> list[dict[str, dict[str, float]]]:
    """By round, way and connections: CPU microseconds of a request."""
    for url, tree, headers in ways.values():
        ask_on(asker, url, body, 1, WARM, tree, headers)
    return [
        {
            name: {
                str(count): ask_on(asker, url, body, count, TAKEN, tree, headers)["cpu_us"]
                for count in CONNECTIONS
            }
            for name, (url, tree, headers) in ways.items()
        }
        for _ in range(ROUNDS)
    ]


def compare(rounds: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Medians, and the local cloud's over the direct one's of the same round."""
    found: dict[str, Any] = {"asker": f"bombardier {BOMBARDIER.version()}", "rounds": len(rounds)}
    for count in map(str, CONNECTIONS):
        ratios = [one["local cloud"][count] / one["direct"][count] for one in rounds]
        found[f"{count} at once"] = {
            **{
                f"{name} cpu_us": round(statistics.median(one[name][count] for one in rounds), 1)
                for name in rounds[0]
            },
            "ratio": round(statistics.median(ratios), 2),
            "ratio_range": [round(min(ratios), 2), round(max(ratios), 2)],
        }
    return found
