"""A small world for `ship`: a cloud, a registry, a bucket, and a fuse that kills the writer at any call."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from infra.spec import ScaleSpec, ServeSpec
from infra.targets.base import ShiftPolicy
from modelpack.errors import EcomdeployError, Unhealthy
from modelpack.progress import Silent
from stacks.collaborators import FakeBuilder, FakeImages, FakePublisher, FakeSweeper, Shop
from stacks.pulumi_driver.converged import Memory
from stacks.pulumi_driver.driver import Change, Deployed, FakeDriver, Settings, Stack
from stacks.records.lease import ShelfLease
from stacks.records.ledger import Ledger
from stacks.records.process import Process
from stacks.records.release import Packed
from stacks.records.store import MemoryShelf
from stacks.settings import bucket_name
from stacks.spec import Environment, Spec

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
    """The cloud as it is, whoever looks. `broken` digests answer wrongly, `unready` ones never get ready."""

    configurations: dict[str, str] = field(default_factory=dict)
    endpoint: dict[str, str] | None = None
    pending: str | None = None
    repositories: set[str] = field(default_factory=set)
    buckets: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    unready: set[str] = field(default_factory=set)
    shelf: MemoryShelf = field(default_factory=MemoryShelf)
    state: dict[str, tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=dict)
    pushed: dict[str, set[str]] = field(default_factory=dict)
    stored: set[str] = field(default_factory=set)
    objects: dict[str, bytes] = field(default_factory=dict)
    generation: str = "1"
    mutations: list[str] = field(default_factory=list)
    dead: set[int] = field(default_factory=set)
    fuse: int | None = None
    calls: int = 0
    runs: int = 0
    must_serve: set[str] = field(default_factory=set)
    now: datetime = datetime(2026, 11, 24, tzinfo=UTC)

    def call(self, what: str) -> None:
        """Every effect passes here before and after it happens; the fuse blows at one of these."""
        if self.must_serve:
            assert self.endpoint is not None, what
            serving = self.configurations[self.endpoint["configuration"]].rpartition("@")[2]
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


class WorldShelf(MemoryShelf):
    """Writes can be killed before and after; local writes are not mutations of the cloud."""

    def __init__(self, world: World) -> None:
        super().__init__(records=world.shelf.records)
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

    def base(self, settings: Settings) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        changes = []
        for things, name in ((self.world.repositories, REPOSITORY), (self.world.buckets, settings["bucket"])):
            if name not in things:
                self.world.mutate(f"create {name}", lambda things=things, name=name: things.add(name))
                changes.append(("create", name))
        outputs = {
            "repository_url": REPOSITORY,
            "repository_name": "shop-local",
            "bucket": settings["bucket"],
        }
        return {**outputs, "role_arn": "arn:role"}, changes

    def service(self, settings: Settings) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        world, changes = self.world, []
        wanted = {f"shop-local-{one['key']}": one for one in settings["releases"]}
        assert sum(one["serving"] for one in settings["releases"]) == 1
        for name, one in wanted.items():
            if name not in world.configurations:
                self.refuse_unknown(one["image"])
                world.mutate(
                    f"create {name}",
                    lambda name=name, one=one: world.configurations.update({name: one["image"]}),
                )
                changes.append(("create", name))
        if world.endpoint is None:
            serving = next(name for name, one in wanted.items() if one["serving"])
            failed = world.configurations[serving].rpartition("@")[2] in world.unready
            status = "Failed" if failed else "InService"
            made = {
                "configuration": serving,
                "status": status,
                "failure": "model server ended" if failed else "",
            }
            world.mutate("create endpoint", lambda: setattr(world, "endpoint", made))
            changes.append(("create", "endpoint"))
            if failed:
                raise EcomdeployError("creating the endpoint: model server ended")
        for name in sorted(set(world.configurations) - set(wanted)):
            assert name != world.endpoint["configuration"], f"{name} is deleted while the endpoint is on it"
            world.mutate(f"delete {name}", lambda name=name: world.configurations.pop(name))
            changes.append(("delete", name))
        keys = {one["key"]: name for name, one in wanted.items()}
        return {"endpoint": "shop-local", "configurations": keys, "models": keys}, changes

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
            for name in sorted(self.world.configurations):
                self.world.mutate(f"delete {name}", lambda name=name: self.world.configurations.pop(name))
        if stack.program == "base" and gone:
            self.world.mutate(
                "delete base",
                lambda: (
                    self.world.repositories.clear(),
                    self.world.buckets.clear(),
                    self.world.pushed.clear(),
                ),
            )
        self.stacks.pop(str(stack), None)
        return (Change("urn:pulumi:s::p::t::all", "delete"),) if gone else ()


class WorldTraffic:
    """The route: answers come from whatever configuration the endpoint is on."""

    def __init__(self, world: World) -> None:
        self.world = world

    def observe(self, endpoint: str) -> Any:
        found = self.world.endpoint
        if found is None:
            return None
        image = self.world.configurations.get(found["configuration"], "")
        return SimpleNamespace(
            status=found["status"],
            configuration=found["configuration"],
            images=(image,),
            failure=found.get("failure") or "",
            changing=found["status"] == "Updating",
        )

    def obstacles(self, configuration: str) -> tuple[str, ...]:
        return () if configuration in self.world.configurations else (f"there is no {configuration}",)

    def shift(self, endpoint: str, configuration: str, policy: ShiftPolicy) -> None:
        assert self.world.endpoint is not None
        assert self.world.endpoint["status"] == "InService", "an update is refused while another runs"
        assert configuration in self.world.configurations

        def begin() -> None:
            self.world.pending = configuration
            self.world.endpoint = {**(self.world.endpoint or {}), "status": "Updating"}

        self.world.mutate(f"shift to {configuration}", begin)

    def wait(self, endpoint: str, configuration: str, progress: object, deadline: float) -> Any:
        self.world.call("wait")
        pending, now = self.world.pending, self.world.endpoint or {}
        if pending is not None:
            failed = self.world.configurations[pending].rpartition("@")[2] in self.world.unready
            stays = {**now, "status": "InService", "failure": "model server ended"}
            moved = {"configuration": pending, "status": "InService"}
            self.world.endpoint, self.world.pending = (stays if failed else moved), None
        self.world.call("waited")
        seen = self.observe(endpoint)
        if seen.configuration != configuration:
            raise Unhealthy(f"{endpoint} is on {seen.configuration}: {seen.failure}")
        return seen

    def invoke(self, endpoint: str, body: bytes, content_type: str) -> Any:
        self.world.call("invoke")
        found = self.world.endpoint or {}
        word = self.world.configurations[found["configuration"]].rpartition("@sha256:")[2]
        said = "nonsense" if f"sha256:{word}" in self.world.broken else word
        answer = json.dumps({"predictions": [{"items": [said]}]}).encode()
        return SimpleNamespace(
            status=200, body=answer, content_digest=f"sha256:content-{word}", latency_ms=1.0
        )


class WorldImages(FakeImages):
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
                self.world.mutate(f"put {key}", lambda key=key, data=data: self.objects.update({key: data}))
                written += 1
        return written


class Town:
    """Opens shops on one world; every shop is a new process."""

    def __init__(self) -> None:
        self.world = World()
        self.drivers: list[WorldDriver] = []

    def shop(self, word: str) -> Shop:
        """A new process with the pack of this word."""
        world = self.world
        world.runs += 1
        world.calls = 0
        shelf = WorldShelf(world)
        driver = WorldDriver(world)
        self.drivers.append(driver)
        me = Process(world.runs, 1, "boot", "here")
        lease = ShelfLease(shelf, "someone", me, world.clock, lives=lambda one: one.pid not in world.dead)
        return Shop(
            builder=FakeBuilder(packed(word)),
            images=WorldImages(world),
            driver=driver,
            memory=Memory(shelf, lambda: world.generation),
            shelf=shelf,
            ledger=Ledger(shelf, world.clock),
            lease=lease,
            traffic=WorldTraffic(world),  # type: ignore[arg-type]
            publisher=WorldPublisher(world),
            sweeper=FakeSweeper(),
            progress=Silent(),
            who="someone",
        )

    def killed(self, fuse: int, run: Callable[[], Any]) -> bool:
        """Run until the fuse blows; False when it did not."""
        self.world.fuse = fuse
        try:
            run()
        except KillNow:
            return True
        finally:
            self.world.dead.add(self.world.runs)
            self.world.fuse, self.world.must_serve = None, set()
        return False


@pytest.fixture
def town() -> Town:
    return Town()


@pytest.fixture
def new_town() -> Callable[[], Town]:
    return Town


@pytest.fixture
def pack_of() -> Callable[[str], Packed]:
    return packed


@pytest.fixture
def spec_of() -> Callable[..., Spec]:
    return spec


__all__ = ["bucket_name", "replace"]
