"""Made, changed, no longer declared, destroyed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
from pulumi import ResourceOptions

from tests.reality.bench import Bench
from tests.reality.scenarios.things import Group, Thing, chain


def basic(bench: Bench) -> None:
    """Three resources in a chain under a component."""
    bench.preview(chain)
    bench.up(chain)
    bench.preview(chain)
    bench.up(chain)
    bench.refresh()
    bench.destroy()


def update(bench: Bench) -> None:
    """A size changes: in place, with its dependents' unknowns in the preview."""

    def sized(size: int) -> Callable[[], object]:
        def program() -> None:
            a = Thing("a", {"name": "a", "size": size})
            Thing("b", {"name": "b", "twice": a.size2})
            Thing("c", {"name": "c", "link": a.arn})
            pulumi.export("twice", a.size2)
            pulumi.export("arn", a.arn)

        return program

    bench.up(sized(1))
    bench.preview(sized(2))
    bench.up(sized(2))
    bench.up(sized(2))


def delete(bench: Bench) -> None:
    """No longer declared: deleted, dependents first; a component with children goes."""

    def few() -> None:
        Thing("z", {"size": 1})

    bench.up(chain)
    bench.preview(few)
    bench.up(few)


def outputs_only(bench: Bench) -> None:
    """Only the stack's outputs change; one goes."""

    def telling(**outputs: Any) -> Callable[[], object]:
        def program() -> None:
            Thing("a", {"name": "a"})
            for name, value in outputs.items():
                pulumi.export(name, value)

        return program

    bench.up(telling())
    bench.preview(telling(x=1))
    bench.up(telling(x=1, y=2))
    bench.up(telling(y=3))


def empty(bench: Bench) -> None:
    """An empty stack destroyed and refreshed; an empty program over a full stack."""
    bench.destroy()
    bench.refresh()
    bench.up(chain)
    bench.up(lambda: None)
    bench.up(lambda: None)


def components(bench: Bench) -> None:
    """Nested, with inputs; secret and resource-valued outputs; inputs change."""

    def sized(size: int) -> Callable[[], object]:
        def program() -> None:
            outer = Group("outer", {"size": size, "pw": pulumi.Output.secret("hush-hush-1")})
            inner = Group("inner", {"up": size}, ResourceOptions(parent=outer))
            a = Thing("a", {"name": "a", "size": size}, ResourceOptions(parent=inner))
            inner.register_outputs({"arn": a.arn, "pw": pulumi.Output.secret("hush-hush-1"), "thing": a})
            outer.register_outputs({"n": size})
            Thing("b", {"name": "b"}, ResourceOptions(depends_on=[outer]))
            pulumi.export("h", inner.urn)

        return program

    bench.preview(sized(1))
    bench.up(sized(1))
    bench.preview(sized(2))
    bench.up(sized(2))


# brothers


def two_hundred(bench: Bench) -> None:
    """200 resources, sixteen at a time."""

    def program() -> None:
        from tests.reality.scenarios.things import FreeThing

        first = FreeThing("t000", {"name": "t000"})
        for number in range(1, 200):
            FreeThing(f"t{number:03}", {"name": f"t{number:03}", "link": first.arn})

    bench.up(program, parallel=16)
    bench.destroy(parallel=16)


def deep_components(bench: Bench) -> None:
    """Five components within each other; the middle one is renamed, so all below are made anew."""

    def named(middle: str) -> Callable[[], object]:
        def program() -> None:
            parent: Group | None = None
            for name in ("one", "two", middle, "four", "five"):
                parent = Group(name, {}, ResourceOptions(parent=parent))
                parent.register_outputs({})
            Thing("leaf", {}, ResourceOptions(parent=parent))

        return program

    bench.up(named("three"))
    bench.preview(named("drei"))
    bench.up(named("drei"))


def component_without_children(bench: Bench) -> None:
    """Components alone: outputs that come and change, one that registers none, one that goes."""

    def telling(value: Any, *names: str) -> Callable[[], object]:
        def program() -> None:
            for name in names:
                Group(name).register_outputs({"value": value})
            Group("silent")

        return program

    bench.preview(telling(1, "a", "b"))
    bench.up(telling(1, "a", "b"))
    bench.up(telling(2, "a"))
    bench.destroy()


def depends_on_component(bench: Bench) -> None:
    """Depending on a component is depending on all its children, the grandchildren too."""

    def program() -> None:
        outer = Group("outer")
        inner = Group("inner", {}, ResourceOptions(parent=outer))
        Thing("x", {"name": "x"}, ResourceOptions(parent=outer))
        Thing("y", {"name": "y"}, ResourceOptions(parent=inner))
        Thing("z", {"name": "z"}, ResourceOptions(depends_on=[outer]))

    bench.up(program)
    bench.destroy()


def moved_dependency(bench: Bench) -> None:
    """A dependency changes and nothing else: the state follows, the cloud does not hear of it; then what was needed
    goes in the same run as the dependency."""

    def linked(to: str, *names: str) -> Callable[[], object]:
        def program() -> None:
            made = {name: Thing(name, {"name": name}) for name in names}
            Thing("z", {"name": "z"}, ResourceOptions(depends_on=[made[to]]))

        return program

    bench.up(linked("a", "a", "b"))
    bench.up(linked("b", "a", "b"))
    bench.up(linked("b", "b"))


def parent_changes(bench: Bench) -> None:
    """Moved below a component without an alias: another resource."""

    def below(component: bool) -> Callable[[], object]:
        def program() -> None:
            Thing("a", {}, ResourceOptions(parent=Group("group") if component else None))

        return program

    bench.up(below(False))
    bench.preview(below(True))
    bench.up(below(True))


def retained(bench: Bench) -> None:
    """retain_on_delete: no longer declared, replaced, destroyed: it stays in the cloud."""

    def program(*names: str, kind: str = "x") -> Callable[[], object]:
        def declare() -> None:
            for name in names:
                Thing(name, {"kind": kind}, ResourceOptions(retain_on_delete=True))

        return declare

    bench.up(program("a", "b"))
    bench.up(program("a"))
    bench.up(program("a", kind="y"))
    bench.destroy()
