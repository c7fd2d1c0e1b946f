"""A service on a local cloud of its own, put back to where it was as often as a row likes, seen from outside."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import programs
from warm_cloud import CloudStage, kill
from word_builder import WordBuilder

from infra.aws_session import AwsSession
from infra.rehearsal.cloud.client import LocalCloud
from modelpack.home import Home
from tests.chaos.stage import Ended, Order, Stage
from tests.reality.inventory import SERVICES, Holding

SPEC = """version: 1
service: shop
usecase: recommendation
serve: {target: sagemaker}
scale: {max: 4, target_rps: 50}
"""
USED = ("kms", "s3", "ecr", "iam", "sagemaker", "application-autoscaling", "cloudwatch", "logs", "ssm")
"""Services that a service without a platform has anything of."""
ENDPOINT = "shop-local"
PAUSE = 0.05
EMPTY, ONE, TWO, BACK = "nothing", "one release", "two releases", "rolled back"
HISTORY: Mapping[str, tuple[str, ...]] = {EMPTY: (), ONE: ("one",), TWO: ("one", "two"), BACK: ("one", "two")}


@dataclass
class Watch:
    """What a client got that asked all the time: digests of what answered, and what went wrong."""

    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Shop:
    """`folder` is its own. States are made once, kept, and put back by copying files."""

    def __init__(self, folder: Path, *, stages: int = 1) -> None:
        self.folder, self.project, root = folder, folder / "project", folder / "home"
        self.home = Home(root, folder / "cache")
        self.cloud = LocalCloud(self.home, host=programs.SPEAKING)
        self.project.mkdir(parents=True)
        (self.project / "ecomdeploy.yaml").write_text(self.spec())
        variables = {"ECOMDEPLOY_HOME": str(root), "ECOMDEPLOY_CACHE": str(self.home.cache)}
        self.clouds = CloudStage()
        self.stages = [Stage(variables) for _ in range(stages)]
        self.digests: dict[str, str] = {}
        self.whole: dict[str, Counter[str]] = {}
        self.lengths: dict[tuple[str, str, int, str], tuple[str, ...]] = {}
        self.spared: frozenset[str] = frozenset()
        self.clouds.start(self.cloud)
        self.session = AwsSession(self.cloud.environment())
        self.whole[EMPTY] = self.holdings()
        for word in ("one", "two", "three"):
            self.digests[word] = WordBuilder(self.home, word).pack().digest

    def spec(self) -> str:
        return SPEC

    def begin(self) -> None:
        """What the cloud is told before anything is there."""

    def close(self) -> None:
        for stage in self.stages:
            stage.close()
        kill(self.cloud)
        self.clouds.close()

    # ---- commands ----

    def order(self, verb: str, word: str = "two", **more: Any) -> Order:
        return Order(verb, word, str(self.project), **more)

    def run(self, verb: str, word: str = "two", **more: Any) -> Ended:
        return self.stages[0].run(self.order(verb, word, **more))

    def do(self, verb: str, word: str = "two", **more: Any) -> Ended:
        """One that must end well."""
        ended = self.run(verb, word, **more)
        assert ended.well, f"{verb} {word}: {ended.error}: {ended.said}"
        return ended

    def resume(self, stopped: int) -> None:
        """Let a process go on that stands still (fuse.STOP)."""
        os.kill(stopped, signal.SIGCONT)

    # ---- states ----

    def put(self, state: str) -> None:
        """Be in that state, whatever was before. From here on nothing is `spared`: more than is wanted of a thing."""
        self.spared = frozenset()
        kept = self.folder / "kept" / state
        if not kept.exists():
            self.make(state)
            self.keep(kept)
        kill(self.cloud)
        for name in ("home", "project"):
            shutil.rmtree(self.folder / name)
            shutil.copytree(kept / name, self.folder / name, symlinks=True)
        self.clouds.start(self.cloud)

    def make(self, state: str) -> None:
        self.cloud.reset()
        self.begin()
        shutil.rmtree(self.project / ".ecomdeploy", ignore_errors=True)
        for word in HISTORY[state]:
            self.do("up", word)
        if state == BACK:
            self.do("rollback", number=1)
        self.whole[state] = self.holdings()

    def keep(self, folder: Path) -> None:
        self.cloud.stop()
        for name in ("home", "project"):
            shutil.copytree(self.folder / name, folder / name, symlinks=True)

    def effects(self, state: str, verb: str, number: int = 0, word: str = "two") -> tuple[str, ...]:
        """Of an undisturbed command from that state, in order; asked once."""
        key = (state, verb, number, word)
        if key not in self.lengths:
            self.put(state)
            self.lengths[key] = self.do(verb, word, number=number).effects
            if verb == "up":
                self.whole.setdefault(f"{state}, {word}", self.holdings())
        return self.lengths[key]

    def foresee(self, state: str, word: str = "") -> None:
        """Know what the cloud has in that state, or after an undisturbed `up` of that pack from it."""
        if word:
            self.effects(state, "up", word=word)
        elif state not in self.whole:
            self.put(state)

    # ---- what the cloud says ----

    def client(self, service: str) -> Any:
        return self.session.client(service)

    def holdings(self) -> Counter[str]:
        """How many there are of each thing, by kind and name; a key has no name."""
        found: Iterator[Holding] = (one for name in USED for one in SERVICES[name](self.client(name)))
        return Counter(one.kind if one.kind == "key" else f"{one.kind} {one.id}" for one in found)

    def mutating(self) -> int:
        return int(self.cloud.counts()["mutating"])

    def ask(self, runtime: Any = None) -> str:
        """The digest of what answers. Raises what the client does."""
        asked = runtime or self.client("sagemaker-runtime")
        answer = asked.invoke_endpoint(EndpointName=ENDPOINT, Body=b"{}", ContentType="application/json")
        told: dict[str, Any] = json.loads(answer["Body"].read())
        return str(told["digest"])

    @contextmanager
    def watched(self) -> Iterator[Watch]:
        """With a client that asks on and on."""
        runtime = self.client("sagemaker-runtime")
        with watching(lambda: self.ask(runtime)) as watch:
            yield watch


@contextmanager
def watching(ask: Callable[[], str]) -> Iterator[Watch]:
    """Ask on and on, in a thread: 20 times a second, twice where the machine is busy."""
    watch, over = Watch(), threading.Event()

    def look() -> None:
        pause = PAUSE
        while not over.wait(pause):
            began = time.monotonic()
            try:
                watch.answers[ask()] += 1
            except Exception as error:
                watch.wrong.append(f"{type(error).__name__}: {error}")
            pause = min(10 * PAUSE, max(PAUSE, 9 * (time.monotonic() - began)))

    asking = threading.Thread(target=look)
    asking.start()
    try:
        yield watch
    finally:
        over.set()
        asking.join()
