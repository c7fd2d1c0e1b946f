"""The product's story, told by typing the real command line beside a polling client.

#1 a recommender goes live as trained; #2 the optimized pack takes over; #3 answers wrong and is refused while #2
keeps serving; then back to #1. A client asks for predictions every 50 ms from the first release to the last.

Run it with `make demo`, or `python examples/demo.py [folder]`. It uses the local cloud only.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-m", "cli.app")
ROOT = Path(__file__).resolve().parents[1]
EVERY = 0.05


def main() -> int:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-shop").resolve()
    started = time.monotonic()
    banner()
    fresh(folder)
    first = release(folder, "#1 the model as trained (fp32)", passes="[]")
    client = Client(folder)
    client.start(started)
    try:
        second = release(folder, "#2 the same model through the gate (optimized)", passes=None)
        broken(folder)
        back = type_in(folder, "rollback", str(first["release"]), "--yes", "--json")
    finally:
        client.stop()
    summary(folder, client, first, second, back, time.monotonic() - started)
    return 0 if client.failed == 0 and back["image"] == first["image"] else 1


def banner() -> None:
    say("=" * 78)
    say("ecomdeploy demo: the cloud is emulated on this machine. No account, no Docker;")
    say("nothing leaves it but downloads of public packages (wheels, Debian packages).")
    say("=" * 78)


def fresh(folder: Path) -> None:
    """A project as a newcomer gets it; an earlier demo in the same place is taken down first."""
    if (folder / "ecomdeploy.yaml").exists():
        type_in(folder, "down", "--yes", "--json")
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    type_in(folder.parent, "init", "recommendation", folder.name, "--json")


def release(folder: Path, title: str, passes: str | None) -> dict[str, Any]:
    say(f"\n--- {title}")
    edit(folder, passes=passes)
    return type_in(folder, "up", "--yes", "--json")


def broken(folder: Path) -> None:
    """A third release whose answers are wrong: planted in the local cloud, found by its golden requests.

    It is the first one's pack on other machines, so nothing is trained or built for it.
    """
    say("\n--- #3 a release that answers wrong (planted)")
    edit(folder, passes="[]", instance="ml.c7i.2xlarge")
    type_in(folder, "cloud", "fault", "wrong-answers", "--json")
    refused = type_in(folder, "up", "--yes", "--json", expect=4)
    say(f"    refused, as it should be: {refused['error']['what'].splitlines()[0]}")
    edit(folder, passes=None)


def edit(folder: Path, *, passes: str | None, instance: str = "ml.c7i.xlarge") -> None:
    """What a person would do in an editor."""
    file = folder / "ecomdeploy.yaml"
    lines = []
    for line in file.read_text().splitlines():
        if line.strip().startswith("passes:"):
            continue
        if line.strip().startswith("train:"):
            line = "  train: {epochs: 1, architecture: one-stage}"
        if line.strip().startswith("instance:"):
            line = f"  instance: {instance}"
        lines.append(line)
        if line.startswith("pack:") and passes is not None:
            lines.append(f"  passes: {passes}")
    file.write_text("\n".join(lines) + "\n")


def type_in(folder: Path, *arguments: str, expect: int = 0) -> dict[str, Any]:
    """Type a command as a person would: its progress is seen, its JSON is read."""
    say(f"$ ecomdeploy {' '.join(arguments)}")
    environment, began = dict(os.environ, PYTHONPATH=str(ROOT)), time.monotonic()
    done = subprocess.run(
        [*COMMAND, *arguments], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != expect:
        say(done.stdout)
        raise SystemExit(
            f"`ecomdeploy {' '.join(arguments)}` ended with {done.returncode}, expected {expect}"
        )
    say(f"    in {time.monotonic() - began:.1f} s")
    found: dict[str, Any] = json.loads(done.stdout) if done.stdout.strip() else {}
    return found


@dataclass
class Client:
    """A shop's web tier: the stock AWS SDK, asking every 50 ms, counting what fails."""

    folder: Path
    requests: int = 0
    failed: int = 0
    errors: list[str] = field(default_factory=list)
    slowest_ms: float = 0.0
    thread: threading.Thread | None = None
    halt: threading.Event = field(default_factory=threading.Event)

    def start(self, began: float) -> None:
        import boto3

        variables = type_in(self.folder, "cloud", "env", "--json")
        asked = type_in(self.folder, "predict", "--json")
        say(
            f"    first prediction {time.monotonic() - began:.0f} s after the start; a client now asks every 50 ms"
        )
        runtime = boto3.client(
            "sagemaker-runtime",
            endpoint_url=variables["AWS_ENDPOINT_URL"],
            region_name=variables["AWS_REGION"],
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        )
        body = json.dumps(asked["request"]).encode()
        self.thread = threading.Thread(target=self.poll, args=(runtime, asked["endpoint"], body), daemon=True)
        self.thread.start()

    def poll(self, runtime: Any, endpoint: str, body: bytes) -> None:
        while not self.halt.wait(EVERY):
            began = time.monotonic()
            try:
                answer = runtime.invoke_endpoint(
                    EndpointName=endpoint, Body=body, ContentType="application/json"
                )
                assert json.loads(answer["Body"].read())["predictions"]
            except Exception as error:
                self.failed += 1
                self.errors.append(str(error))
            self.requests += 1
            self.slowest_ms = max(self.slowest_ms, 1000 * (time.monotonic() - began))

    def stop(self) -> None:
        self.halt.set()
        if self.thread:
            self.thread.join(timeout=60)


def summary(folder: Path, client: Client, first: Any, second: Any, back: Any, seconds: float) -> None:
    say("\n" + "=" * 78)
    for title, one in (("#1 as trained ", first), ("#2 optimized  ", second)):
        metric, chosen = one["record"]["metric"], one["record"]["chosen"]
        say(
            f"{title} {metric['name']} {chosen['metric']:.4f} (baseline {metric['baseline']:.4f})   "
            f"model {chosen['size_mb']:.1f} MB   pushed {one['pushed_bytes'] / 1e6:.1f} MB"
        )
    say(f"#2 against #1    {in_pairs(second['record']['gain'])}")
    say("#3 wrong answers: refused; #2 kept serving")
    digest = back["image"].split("@")[1][:19]
    say(
        f"#{back['release']} rollback      the bytes of #{back['restores']}: {digest}, nothing built, nothing pushed"
    )
    counted = f"{client.requests} requests, {client.failed} failed (slowest {client.slowest_ms:.0f} ms)"
    say(f"{counted}; {seconds:.0f} s in all")
    for error in client.errors[:3]:
        say(f"    {error}")
    say("=" * 78)
    command = "ecomdeploy" if shutil.which("ecomdeploy") else f"{Path(sys.executable).parent}/ecomdeploy"
    say(f"Next: cd {os.path.relpath(folder)} && {command} predict      (and `{command} down` ends it)")


def in_pairs(gain: Any) -> str:
    """Speed as it was measured in turns: two times of two moments do not compare on a busy machine."""
    if gain is None:
        return "the same model: no pass paid"
    one, batch = gain["latency"], gain["throughput"]
    return (
        f"one request {one['median']:.1f}x [{one['low']:.1f}, {one['high']:.1f}], a full batch {batch['median']:.1f}x "
        f"[{batch['low']:.1f}, {batch['high']:.1f}] as fast, in the same {gain['turns']} turns"
    )


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
