"""Rows on the local cloud's real Kubernetes: a service goes from release to release, each of its commands killed once.

A control plane is not put back by copying files, so each point begins where the one before it has converged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from waiting import wait_for
from word_pods import PodBuilder, write_base

from infra.kubernetes.client import KubernetesClient
from infra.rehearsal.cloud.client import LocalCloud
from infra.rehearsal.cloud.kubernetes.places import KubernetesPlaces
from modelpack.home import Home
from modelpack.progress import Silent
from tests.chaos.fuse import KILL
from tests.chaos.rows import Row
from tests.chaos.shop import Watch, watching
from tests.chaos.stage import KILLED, Ended, Order, Stage

SPEC = """version: 1
service: shop
usecase: recommendation
serve: {target: kserve}
"""
OURS = "ecomdeploy.dev/endpoint=shop-local"
DECLARED = (
    ("serving.kserve.io/v1beta1", "InferenceService"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("v1", "Secret"),
    ("v1", "ConfigMap"),
    ("monitoring.coreos.com/v1", "PrometheusRule"),
)
"""What the service stack makes there; KServe makes the rest of it."""
MADE = (
    ("apps/v1", "Deployment"),
    ("v1", "Service"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("v1", "Pod"),
)
RETAINED = 5


class ClusterShop:
    """A service on KServe. `shipped`: the words that are or were live since it was last down, with their numbers."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.project, root = folder / "project", folder / "home"
        self.home = Home(root, cache)
        self.cloud = LocalCloud(self.home)
        self.project.mkdir(parents=True)
        root.mkdir()
        (self.project / "ecomdeploy.yaml").write_text(SPEC)
        write_base(self.home, folder)
        self.cloud.ensure_kubernetes(Silent())
        places = KubernetesPlaces(self.cloud.folder.kubernetes)
        self.port = places.ports().gateway
        self.api = KubernetesClient(places.kubeconfig)
        self.stage = Stage({"ECOMDEPLOY_HOME": str(root), "ECOMDEPLOY_CACHE": str(cache)})
        self.shipped: list[tuple[str, int]] = []
        self.made = 0
        self.lengths: dict[str, int] = {}

    def close(self) -> None:
        self.stage.close()
        self.api.close()
        self.cloud.stop()

    def new_word(self) -> str:
        self.made += 1
        return f"word-{self.made}"

    def run(self, verb: str, word: str, **more: Any) -> Ended:
        return self.stage.run(Order(verb, word, str(self.project), **more))

    def do(self, verb: str, word: str, **more: Any) -> Ended:
        ended = self.run(verb, word, **more)
        assert ended.well, f"{verb} {word}: {ended.error}: {ended.said}"
        return ended

    # ---- what the cluster says ----

    def ask(self) -> str:
        """The digest of what answers at the gateway."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            headers = {"Host": "shop-local.default.example.com", "Content-Type": "application/json"}
            connection.request("POST", "/invocations", b"{}", headers)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        assert answer.status == 200, f"{answer.status}: {data[:200]!r}"
        return str(json.loads(data)["predictions"][0]["digest"])

    def digest(self, word: str) -> str:
        return PodBuilder(self.home, word).pack().content_digest

    def list(self, kinds: tuple[tuple[str, str], ...]) -> dict[str, Any]:
        """Our objects of these kinds, by kind and name."""
        return {
            f"{kind} {one['metadata']['name']}": one
            for version, kind in kinds
            if self.api.knows(version, kind)
            for one in self.api.list(version, kind, "default", OURS)
        }

    def versions(self) -> dict[str, Any]:
        """Of what is declared: which it is, and how often it was changed."""
        return {
            name: (one["metadata"]["uid"], one["metadata"].get("generation"))
            for name, one in self.list(DECLARED).items()
        }

    @contextmanager
    def served(self, *words: str) -> Iterator[Watch]:
        with watching(self.ask) as watch:
            yield watch
        allowed = {self.digest(word) for word in words}
        assert not watch.wrong, f"{len(watch.wrong)} requests were not answered: {watch.wrong[0]}"
        assert {*watch.answers, self.ask()} <= allowed, "something answers that nobody released"

    # ---- states ----

    def go_to(self, releases: int) -> None:
        """So many have been live, the last of them is (0: down)."""
        if not releases and self.shipped:
            self.do("down", self.shipped[-1][0])
            self.shipped = []
        while len(self.shipped) < releases:
            word = self.new_word()
            self.shipped.append((word, int(self.do("up", word).outcome["release"])))

    def converges(self, word: str) -> None:
        done = self.do("up", word)
        assert done.outcome["verified"] is True, done.outcome
        if not self.shipped or self.shipped[-1][0] != word:
            self.shipped = [one for one in self.shipped if one[0] != word]
            self.shipped.append((word, int(done.outcome["release"])))
        assert self.ask() == self.digest(word), "another release answers"
        services = [name for name in self.list(DECLARED) if name.startswith("InferenceService")]
        assert len(services) == min(len(self.shipped), 1 + RETAINED), services
        routes = [name for name in self.list(DECLARED) if name.startswith("HTTPRoute")]
        assert len(routes) == 1, routes
        before, calls = self.versions(), self.cloud.counts()["mutating"]
        again = self.do("up", word)
        assert again.outcome["outcome"] == "nothing to do", again.outcome["outcome"]
        assert self.cloud.counts()["mutating"] == calls, "an `up` after the one that converged called"
        assert self.versions() == before, "an `up` after the one that converged changed something"


# ---- points ----


def first(shop: ClusterShop, at: int) -> None:
    shop.go_to(0)
    word = shop.new_word()
    check(shop.run("up", word, at=at, how=KILL))
    shop.converges(word)


def following(shop: ClusterShop, at: int) -> None:
    shop.go_to(1)
    word = shop.new_word()
    with shop.served(shop.shipped[-1][0], word):
        check(shop.run("up", word, at=at, how=KILL))
        shop.converges(word)


def back(shop: ClusterShop, at: int) -> None:
    shop.go_to(2)
    (before, number), (last, _) = shop.shipped[-2:]
    with shop.served(before, last):
        check(shop.run("rollback", last, number=number, at=at, how=KILL))
        again = shop.run("rollback", last, number=number)
        assert again.well or "serves" in again.said, f"{again.error}: {again.said}"
        assert shop.ask() == shop.digest(before), "the release that was asked for does not answer"
        shop.converges(before)


def removal(shop: ClusterShop, at: int) -> None:
    shop.go_to(1)
    check(shop.run("down", shop.shipped[-1][0], at=at, how=KILL))
    done = shop.do("down", shop.shipped[-1][0])
    shop.shipped = []
    assert done.outcome["remaining"] == [], done.outcome["remaining"]
    assert shop.list(DECLARED) == {}
    wait_for(lambda: shop.list(MADE) == {})


def check(ended: Ended) -> None:
    assert ended.status in (KILLED, 0), f"{ended.error}: {ended.said}"


def count_of(shop: ClusterShop, verb: str, releases: int) -> int:
    """The effects of an undisturbed command."""
    key = f"{verb} {releases}"
    if key not in shop.lengths:
        shop.go_to(releases)
        if verb == "up":
            word = shop.new_word()
            done = shop.do("up", word)
            shop.shipped.append((word, int(done.outcome["release"])))
        elif verb == "rollback":
            (before, number), (last, _) = shop.shipped[-2:]
            done = shop.do("rollback", last, number=number)
            shop.converges(before)
        else:
            done = shop.do("down", shop.shipped[-1][0])
            shop.shipped = []
        shop.lengths[key] = len(done.effects)
    return shop.lengths[key]


def rows(shop: Callable[[], ClusterShop]) -> Iterator[Row]:
    for name, verb, releases, strike in (
        ("the first up", "up", 0, first),
        ("the next up", "up", 1, following),
        ("rollback", "rollback", 2, back),
        ("down", "down", 1, removal),
    ):
        yield Row(
            f"kill on KServe: {name}",
            "kserve",
            lambda verb=verb, releases=releases: count_of(shop(), verb, releases),  # type: ignore[misc]
            lambda at, strike=strike: strike(shop(), at),  # type: ignore[misc]
        )
