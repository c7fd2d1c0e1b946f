"""The cloud refuses, leaves things half made, or the program breaks."""

from __future__ import annotations

from collections.abc import Callable

import pulumi
from pulumi import ResourceOptions

from tests.reality.bench import Bench
from tests.reality.file_cloud import Fault
from tests.reality.scenarios.things import FreeThing, Thing, fan


def b_first() -> None:
    """`fan`, in another order."""
    b = Thing("b", {"name": "b", "size": 1})
    a = Thing("a", {"name": "a"})
    Thing("c", {"name": "c", "link": b.arn})
    Thing("d", {"name": "d", "link": a.arn})
    pulumi.export("a", a.arn)


def sequence(size: int = 1) -> None:
    """A strict chain."""
    a = Thing("a", {"name": "a", "size": size})
    b = Thing("b", {"name": "b", "size": size, "link": a.arn})
    Thing("c", {"name": "c", "size": size, "link": b.arn})
    pulumi.export("n", size)


def nothing() -> None:
    """Declares no resource."""


def refused_create(bench: Bench) -> None:
    """One of four creates is refused: what is in the state, what a second run does."""
    bench.cloud.plant(create_b=Fault("refuse", "ResourceLimitExceeded", "no capacity"))
    bench.up(b_first)
    bench.cloud.plant()
    bench.preview(b_first)
    bench.up(b_first)


def partial(bench: Bench) -> None:
    """A create leaves something behind: recorded with its errors, mended by an update; an update does the same."""

    def changed() -> None:
        Thing("b", {"name": "b", "size": 5})

    bench.cloud.plant(create_b=Fault("partial"))
    bench.up(fan)
    bench.preview(fan)
    bench.cloud.plant()
    bench.up(fan)
    bench.up(fan)
    bench.cloud.plant(**{"update_b-id1": Fault("partial")})
    bench.up(changed)
    bench.cloud.plant()
    bench.up(changed)
    bench.destroy()


def refused_update(bench: Bench) -> None:
    """The old inputs stay in the state; the next run does it."""

    def sized(size: int) -> Callable[[], object]:
        def program() -> None:
            a = Thing("a", {"name": "a", "size": size})
            Thing("b", {"name": "b", "size": size})
            Thing("c", {"name": "c", "link": a.size2})
            pulumi.export("n", size)

        return program

    bench.up(sized(1))
    bench.cloud.plant(**{"update_a-id1": Fault("refuse")})
    bench.up(sized(2))
    bench.cloud.plant()
    bench.up(sized(2))


def refused_delete(bench: Bench) -> None:
    """In an up, then half-way through destroy; the next run goes on. In a strict chain, so that the order is given."""
    bench.up(sequence)
    bench.cloud.plant(**{"delete_b-id1": Fault("refuse")})
    bench.up(nothing)
    bench.destroy()
    bench.cloud.plant()
    bench.destroy()


def chain_failure(bench: Bench) -> None:
    """In a strict chain the middle one's create is refused, then its update."""
    bench.cloud.plant(create_b=Fault("refuse"))
    bench.up(sequence)
    bench.cloud.plant()
    bench.up(sequence)
    bench.cloud.plant(**{"update_b-id1": Fault("refuse")})
    bench.up(lambda: sequence(2))
    bench.cloud.plant()
    bench.up(lambda: sequence(2))


def program_fails(bench: Bench) -> None:
    """It raises after declaring less than before: nothing is deleted. Then RunError; then an error in apply."""

    def raising() -> None:
        Thing("a", {"name": "a"})
        raise ValueError("the program breaks")

    def giving_up() -> None:
        Thing("a", {"name": "a"})
        raise pulumi.RunError("the program gives up")

    def applied() -> None:
        a = Thing("a", {"name": "a"})
        pulumi.export("x", a.arn.apply(lambda _: 1 / 0))

    bench.up(fan)
    bench.up(raising)
    bench.up(giving_up)
    bench.up(applied)
    bench.up(fan)


def duplicate(bench: Bench) -> None:
    """Two resources of one URN."""

    def program() -> None:
        first = Thing("a", {"name": "a"})
        Thing("a", {"name": "a2"}, ResourceOptions(depends_on=[first]))

    bench.preview(program)
    bench.up(program)


def unknown_package(bench: Bench) -> None:
    """A package without a provider."""

    def program() -> None:
        pulumi.CustomResource("nopackage:index:Thing", "a", {})

    bench.preview(program)
    bench.up(program)


def check_failure(bench: Bench) -> None:
    """An input that the provider does not know."""

    def program() -> None:
        Thing("a", {"name": "a", "unwanted": 1})

    bench.preview(program)
    bench.up(program)


# brothers


def parallel_refusals(bench: Bench) -> None:
    """Three of three are refused at once; the next run makes them."""

    def program() -> None:
        for name in ("x", "y", "z"):
            FreeThing(name, {"name": name})

    bench.cloud.plant(create_x=Fault("refuse"), create_y=Fault("refuse"), create_z=Fault("refuse"))
    bench.up(program, parallel=3)
    bench.cloud.plant()
    bench.up(program, parallel=3)


def partial_replacement(bench: Bench) -> None:
    """The new one of a replacement is half made: the old one waits, the next run mends and deletes."""

    def of(kind: str) -> Callable[[], object]:
        return lambda: Thing("a", {"kind": kind})

    bench.up(of("x"))
    bench.cloud.plant(create_a=Fault("partial"))
    bench.up(of("y"))
    bench.cloud.plant()
    bench.up(of("y"))


def partial_then_gone(bench: Bench) -> None:
    """Half made, and then no longer declared; half made, and destroyed."""

    def none() -> None:
        Thing("z", {"name": "z"})

    def one() -> None:
        Thing("a", {"name": "a"})

    bench.cloud.plant(create_a=Fault("partial"))
    bench.up(one)
    bench.up(none)
    bench.up(one)
    bench.destroy()


def component_fails(bench: Bench) -> None:
    """A child is refused before its component has told its outputs."""
    from tests.reality.scenarios.things import Group

    def program() -> None:
        group = Group("group")
        a = Thing("a", {"name": "a"}, ResourceOptions(parent=group))
        b = Thing("b", {"name": "b", "link": a.arn}, ResourceOptions(parent=group))
        group.register_outputs({"b": b.arn})

    bench.cloud.plant(create_b=Fault("refuse"))
    bench.up(program)
    bench.cloud.plant()
    bench.up(program)


def provider_refuses_configuration(bench: Bench) -> None:
    """An explicit provider may not be used as it is configured."""
    from tests.reality.scenarios.things import LabProvider

    def in_region(region: str) -> Callable[[], object]:
        def program() -> None:
            place = LabProvider("place", {"region": region})
            Thing("a", {"name": "a"}, ResourceOptions(provider=place))

        return program

    bench.up(in_region("nowhere"))
    bench.up(in_region("somewhere"))
