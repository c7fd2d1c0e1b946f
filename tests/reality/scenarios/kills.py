"""Killed (-9) in a call that the cloud has done, or has not: what the next commands make of it."""

from __future__ import annotations

import pulumi

from tests.reality.bench import Bench
from tests.reality.file_cloud import Fault
from tests.reality.scenarios.failures import nothing, sequence
from tests.reality.scenarios.things import Thing, fan


def fan_grown() -> None:
    """`fan` with another size."""
    a = Thing("a", {"name": "a"})
    b = Thing("b", {"name": "b", "size": 2})
    Thing("c", {"name": "c", "link": b.arn})
    Thing("d", {"name": "d", "link": a.arn})


def auto_named() -> None:
    a = Thing("a", {"size": 1})
    b = Thing("b", {"size": 1, "link": a.arn})
    pulumi.export("b", b.arn)


def kill_create(bench: Bench) -> None:
    """A create that the cloud has done."""
    bench.cloud.plant(create_b=Fault("hang-after"))
    bench.kill("up", fan)
    bench.preview(fan)
    bench.up(fan)
    bench.up(fan)
    bench.destroy()


def kill_create_before(bench: Bench) -> None:
    """A create that it has not done; then what our driver does."""
    bench.cloud.plant(create_b=Fault("hang-before"))
    bench.kill("up", fan)
    bench.refresh(clear_pending_creates=True)
    bench.up(fan)
    bench.up(fan)


def kill_update(bench: Bench) -> None:
    """An update that it has done."""
    bench.up(fan)
    bench.cloud.plant(**{"update_b-id1": Fault("hang-after")})
    bench.kill("up", fan_grown)
    bench.preview(fan_grown)
    bench.up(fan_grown)
    bench.up(fan_grown)


def kill_delete(bench: Bench) -> None:
    """A deletion that it has done, within an up; in a strict chain, so that the order is given."""
    bench.up(sequence)
    bench.cloud.plant(**{"delete_b-id1": Fault("hang-after")})
    bench.kill("up", nothing)
    bench.preview(nothing)
    bench.up(nothing)


def kill_destroy(bench: Bench) -> None:
    """A deletion that it has done, within a destroy."""
    bench.up(sequence)
    bench.cloud.plant(**{"delete_b-id1": Fault("hang-after")})
    bench.kill("destroy", nothing)
    bench.destroy()


def kill_create_strict(bench: Bench) -> None:
    """A create that it has done, where nobody adopts what is there: the pending create dropped unseen, then up."""
    bench.cloud.plant(create_b=Fault("hang-after"))
    bench.kill("up", sequence)
    bench.cloud.be_strict()
    bench.refresh(clear_pending_creates=True)
    bench.up(sequence)


def kill_create_auto_named(bench: Bench) -> None:
    """The same with an auto-named resource: nothing refuses the second create."""
    bench.cloud.plant(create_b=Fault("hang-after"))
    bench.kill("up", auto_named)
    bench.refresh(clear_pending_creates=True)
    bench.up(auto_named)
