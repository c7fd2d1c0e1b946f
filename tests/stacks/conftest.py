"""A small world for `ship`: a cloud, a registry, a bucket, and a fuse that kills the writer at any call."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from infra.ground.survey import FakeSurvey
from infra.quotas.quota import FakeQuotas
from infra.spec import ScaleSpec, ServeSpec
from infra.targets.base import JSON, Answer, Look, Observation, Phase, look_away
from infra.targets.guard import FakeGuard
from infra.targets.moves import ShiftPolicy
from infra.targets.sagemaker.target import SageMaker
from modelpack.errors import EcomdeployError, Unhealthy
from modelpack.progress import Silent
from stacks.collaborators import (
    Collaborators,
    FakeBuilder,
    FakeImageRegistry,
    FakeParameters,
    FakePublisher,
    FakeSweeper,
)
from stacks.pulumi_driver.converged import ConvergedStates
from stacks.pulumi_driver.driver import Change, Deployed, FakeDriver, Settings, Stack
from stacks.records.lease import Lease
from stacks.records.ledger import Ledger
from stacks.records.owner import Owner
from stacks.records.process import Process
from stacks.records.release import Packed
from stacks.records.store import InMemoryStore
from stacks.spec import Environment, Spec
from stacks.wanted import Wanted

REPOSITORY = "registry.example/shop-local"


class KillNow(BaseException):
    """What `kill -9` looks like from inside: nothing after it has an effect."""


def packed(word: str) -> Packed:
    """A pack whose digest and answers follow from a word."""
    return Packed(
        digest=f"sha256:{word}",
        content_digest=f"sha256:content-{word}",
        input_digest=f"inputs-{word}",
        usecase="recommendation",
        golden=({"request": {"instances": [{"user": 1}]}, "answer": {"predictions": [{"items": [word]}]}},),
        tolerance={"items": {"kind": "equal"}},
    )


def spec(instance: str = "ml.c7i.xlarge", most: int = 1) -> Spec:
    return Spec(
        version=1,
        service="shop",
        usecase="recommendation",
        serve=ServeSpec(instance=instance),
        scale=ScaleSpec(max=most),
        environment=Environment(name="local", cloud="local"),
    )


@dataclass
class World:
    """The cloud as it is, whoever looks. `broken` digests answer wrongly, `unready` ones never get ready.

    `unstartable`: revisions that lack something without which no further server can be started; `written`: what servers
    of a digest wrote, which goes with them.
    """

    revisions: dict[str, str] = field(default_factory=dict)
    endpoint: dict[str, Any] | None = None
    pending: str | None = None
    repositories: set[str] = field(default_factory=set)
    buckets: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    unready: set[str] = field(default_factory=set)
    unstartable: set[str] = field(default_factory=set)
    store: InMemoryStore = field(default_factory=InMemoryStore)
    state: dict[str, tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=dict)
    pushed: dict[str, set[str]] = field(default_factory=dict)
    stored: set[str] = field(default_factory=set)
    objects: dict[str, bytes] = field(default_factory=dict)
    generation: str = "1"
    mutations: list[str] = field(default_factory=list)
    dead: set[int] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    variables: dict[str, str] = field(default_factory=dict)
    shared: InMemoryStore = field(default_factory=InMemoryStore)
    standing: set[str] = field(default_factory=set)
    quotas: FakeQuotas = field(default_factory=FakeQuotas)
    fuse: int | None = None
    calls: int = 0
    runs: int = 0
    must_serve: set[str] = field(default_factory=set)
    written: dict[str, list[str]] = field(default_factory=dict)
    now: datetime = datetime(2026, 11, 24, tzinfo=UTC)

    def call(self, what: str) -> None:
        """Every effect passes here before and after it happens; the fuse blows at one of these."""
        if self.must_serve:
            assert self.endpoint is not None, what
            serving = self.revisions[self.endpoint["revision"]].rpartition("@")[2]
            assert serving in self.must_serve, (what, serving)
        self.calls += 1
        if self.fuse is not None and self.calls >= self.fuse:
            raise KillNow(what)

    def mutate(self, what: str, change: Callable[[], Any]) -> Any:
        self.call(f"before {what}")
        result = change()
        self.mutations.append(what)
        self.call(f"after {what}")
        return result

    def clock(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def process(self, word: str) -> Collaborators:
        """A new process with the pack of this word: whom it works with."""
        self.runs += 1
        self.calls = 0
        store = WorldStore(self)
        me = Process(self.runs, 1, "boot", "here")
        return Collaborators(
            builder=FakeBuilder(packed(word)),
            hosts=SageMaker().hosts(),
            images=WorldImages(self),
            driver=WorldDriver(self),
            converged=ConvergedStates(store, lambda: self.generation),
            store=store,
            ledger=Ledger(store, self.clock),
            lease=Lease(store, "someone", me, self.clock, lives=lambda one: one.pid not in self.dead),
            platform_store=self.shared,
            platform_lease=Lease(
                self.shared, "someone", me, self.clock, lives=lambda one: one.pid not in self.dead
            ),
            traffic=WorldTraffic(self),
            publisher=WorldPublisher(self),
            sweeper=FakeSweeper(),
            progress=Silent(),
            who="someone",
            parameters=FakeParameters(self.lost),
            survey=FakeSurvey(),
            quotas=self.quotas,
            me=Owner(id="", folder="/here", host="here", who="someone"),
            stands=lambda owner: owner.folder in self.standing,
            variables=self.variables,
        )

    def kill_at(self, fuse: int, run: Callable[[], Any]) -> bool:
        """Run until the fuse blows; False when it did not."""
        self.fuse = fuse
        try:
            run()
        except KillNow:
            return True
        finally:
            self.dead.add(self.runs)
            self.fuse, self.must_serve = None, set()
        return False


class WorldStore(InMemoryStore):
    """Writes can be killed before and after; local writes are not mutations of the cloud."""

    def __init__(self, world: World) -> None:
        super().__init__(records=world.store.records)
        self.world = world

    def write(self, name: str, data: bytes, *, was: bytes | None) -> bool:
        self.world.call(f"before write {name}")
        done = super().write(name, data, was=was)
        self.world.call(f"after write {name}")
        return done

    def remove(self, name: str, *, was: bytes) -> bool:
        self.world.call(f"before remove {name}")
        return super().remove(name, was=was)


class WorldDriver(FakeDriver):
    """Makes and deletes one thing after the other, as Pulumi does, and can be killed between any two."""

    def __init__(self, world: World) -> None:
        super().__init__(stacks=world.state)
        self.world = world

    def up(self, stack: Stack, settings: Settings, progress: object, *, refresh: bool) -> Deployed:
        self.calls.append(f"up {stack}" + (" --refresh" if refresh else ""))
        self.world.call(f"run {stack}")
        if str(stack) in self.refuse:
            raise self.refuse[str(stack)]
        self.stacks.setdefault(str(stack), ({}, {}))
        outputs, changes = self.base(settings) if stack.program == "base" else self.service(settings)
        self.stacks[str(stack)] = (dict(settings), outputs)
        return Deployed(outputs, tuple(Change(f"urn:pulumi:s::p::t::{name}", op) for op, name in changes))

    def has_drifted(self, stack: Stack, settings: Settings) -> bool:
        if stack.program == "base":
            return not (
                {REPOSITORY} <= self.world.repositories and {settings["bucket"]} <= self.world.buckets
            )
        wanted = {f"shop-local-{one['key']}" for one in settings["releases"]}
        return self.world.endpoint is None or not wanted <= set(self.world.revisions)

    def base(self, settings: Settings) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        changes = []
        for things, name in ((self.world.repositories, REPOSITORY), (self.world.buckets, settings["bucket"])):
            if name not in things:
                self.world.mutate(f"create {name}", partial(things.add, name))
                changes.append(("create", name))
        outputs = {
            "repository_url": REPOSITORY,
            "repository_name": "shop-local",
            "bucket": settings["bucket"],
        }
        logs = {"log_group": "/logs/shop-local"} if "log_days" in settings else {}
        return {**outputs, "role_arn": "arn:role", **logs}, changes

    def service(self, settings: Settings) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        world, changes = self.world, []
        wanted = {f"shop-local-{one['key']}": one for one in settings["releases"]}
        assert sum(one["initial"] for one in settings["releases"]) == 1
        for name, one in wanted.items():
            if name not in world.revisions:
                self.refuse_unknown(one["image"])
                world.mutate(
                    f"create {name}",
                    partial(world.revisions.update, {name: one["image"]}),
                )
                changes.append(("create", name))
        if world.endpoint is None:
            serving = next(name for name, one in wanted.items() if one["initial"])
            failed = world.revisions[serving].rpartition("@")[2] in world.unready
            made = {
                "revision": serving,
                "phase": Phase.FAILED if failed else Phase.SERVING,
                "failure": "model server ended" if failed else "",
            }
            world.mutate("create endpoint", lambda: setattr(world, "endpoint", made))
            changes.append(("create", "endpoint"))
            if failed:
                raise EcomdeployError("creating the endpoint: model server ended")
        for name in sorted(set(world.revisions) - set(wanted)):
            assert name != (world.endpoint or {})["revision"], (
                f"{name} is deleted while the endpoint is on it"
            )
            world.mutate(f"delete {name}", partial(world.revisions.pop, name))
            changes.append(("delete", name))
        keys = {one["key"]: name for name, one in wanted.items()}
        return {"endpoint": "shop-local", "revisions": keys}, changes

    def refuse_unknown(self, image: str) -> None:
        """CreateModel looks the image up."""
        repository, _, digest = image.partition("@")
        if digest not in self.world.pushed.get(repository, set()):
            raise EcomdeployError(f"Requested image {image} not found")

    def destroy(self, stack: Stack, progress: object) -> tuple[Change, ...]:
        self.calls.append(f"destroy {stack}")
        self.world.call(f"destroy {stack}")
        gone = self.stacks.get(str(stack))
        if stack.program == "service" and gone:
            if self.world.endpoint:
                self.world.mutate("delete endpoint", lambda: setattr(self.world, "endpoint", None))
            for name in sorted(self.world.revisions):
                self.world.mutate(f"delete {name}", partial(self.world.revisions.pop, name))
        if stack.program == "base" and gone:
            self.world.mutate(
                "delete base",
                lambda: [
                    one.clear() for one in (self.world.repositories, self.world.buckets, self.world.pushed)
                ],
            )
        self.stacks.pop(str(stack), None)
        return (Change("urn:pulumi:s::p::t::all", "delete"),) if gone else ()


class WorldTraffic:
    """The route: answers come from whatever revision the endpoint is on. `refuse`: what waiting for it ends with."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.refuse: Exception | None = None
        self.guard = FakeGuard()

    def observe(self, endpoint: str) -> Observation:
        found = self.world.endpoint
        if found is None:
            return Observation(phase=Phase.ABSENT)
        return Observation(
            phase=found["phase"],
            status=f"{found['phase']}, in the place's own word",
            revision=found["revision"],
            images=(self.world.revisions.get(found["revision"], ""),),
            failure=found.get("failure") or "",
            replicas=found.get("replicas", 1),
        )

    def obstacles(self, revision: str) -> tuple[str, ...]:
        there = set(self.world.revisions) - self.world.unstartable
        return () if revision in there else (f"there is no {revision}",)

    def find_scaling_trouble(self, revision: str) -> tuple[str, ...]:
        return ()

    def prepare(self, endpoint: str, revision: str, progress: object, deadline: float) -> bool:
        return False

    def mirror(self, endpoint: str, *asked: Any, **more: Any) -> None:
        raise AssertionError(f"nobody asked for copies of the requests of {endpoint}")

    def shift(self, endpoint: str, revision: str, policy: ShiftPolicy) -> bool:
        assert self.world.endpoint is not None
        assert self.world.endpoint["phase"] is Phase.SERVING, "an update is refused while another runs"
        assert revision in self.world.revisions

        def begin() -> None:
            self.world.pending = revision
            self.world.endpoint = {**(self.world.endpoint or {}), "phase": Phase.CHANGING}

        self.world.mutate(f"shift to {revision}", begin)
        return True

    def wait(
        self, endpoint: str, revision: str, progress: object, deadline: float, look: Look = look_away
    ) -> Observation:
        self.world.call("wait")
        if self.refuse:
            raise self.refuse
        pending, now = self.world.pending, self.world.endpoint or {}
        if pending is not None:
            failed = self.world.revisions[pending].rpartition("@")[2] in self.world.unready
            stays = {**now, "phase": Phase.SERVING, "failure": "model server ended"}
            moved = {"revision": pending, "phase": Phase.SERVING}
            self.world.endpoint, self.world.pending = (stays if failed else moved), None
        self.world.call("waited")
        seen = self.observe(endpoint)
        if seen.revision != revision:
            raise Unhealthy(f"{endpoint} is on {seen.revision}: {seen.failure}")
        return seen

    def resize(self, endpoint: str, replicas: int, progress: object, deadline: float) -> bool:
        now = self.world.endpoint or {}
        if now.get("replicas", 1) == replicas:
            return False
        self.world.mutate(
            f"resize to {replicas}", lambda: setattr(self.world, "endpoint", {**now, "replicas": replicas})
        )
        return True

    def invoke(
        self, endpoint: str, body: bytes, content_type: str = JSON, release: str | None = None
    ) -> Answer:
        self.world.call("invoke")
        found = self.world.endpoint or {}
        word = self.world.revisions[release or found["revision"]].rpartition("@sha256:")[2]
        said = "nonsense" if f"sha256:{word}" in self.world.broken else word
        answer = json.dumps({"predictions": [{"items": [said]}]}).encode()
        return Answer(status=200, body=answer, content_digest=f"sha256:content-{word}", latency_ms=1.0)

    def stream(self, endpoint: str, body: bytes, content_type: str = JSON) -> Iterator[bytes]:
        yield self.invoke(endpoint, body, content_type).body

    def logs(self, endpoint: str, lines: int) -> list[str]:
        return []

    def logs_to_keep(self, revision: str, lines: int) -> list[str]:
        return self.world.written.get(self.world.revisions[revision].rpartition("@")[2], [])[-lines:]


class WorldImages(FakeImageRegistry):
    def __init__(self, world: World) -> None:
        super().__init__(lambda: world.repositories, world.pushed, world.stored)
        self.world = world

    def push(self, repository: str, digest: str, progress: object) -> int:
        if self.holds(repository, digest):
            return 0
        push = super().push
        return int(self.world.mutate(f"push {digest}", lambda: push(repository, digest, Silent())))


class WorldPublisher(FakePublisher):
    def __init__(self, world: World) -> None:
        super().__init__(lambda: world.buckets, world.objects)
        self.world = world

    def publish(self, bucket: str, records: Mapping[str, bytes]) -> int:
        written = 0
        for key, data in records.items():
            if self.objects.get(key) != data:
                self.world.mutate(f"put {key}", partial(self.objects.update, {key: data}))
                written += 1
        return written


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def new_world() -> Callable[[], World]:
    return World


@pytest.fixture
def pack_of() -> Callable[[str], Packed]:
    return packed


@pytest.fixture
def spec_of() -> Callable[..., Spec]:
    return spec


@pytest.fixture
def wanted_of() -> Callable[..., Wanted]:
    return lambda *arguments, **named: Wanted.of(spec(*arguments, **named), SageMaker().hosts())
