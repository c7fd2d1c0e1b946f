"""Replaced: before or after its deletion, with what depends on it."""

from __future__ import annotations

from collections.abc import Callable

import pulumi
from pulumi import ResourceOptions

from tests.reality.bench import Bench
from tests.reality.file_cloud import Fault
from tests.reality.scenarios.things import Thing


def replace(bench: Bench) -> None:
    """Create before delete; a dependent follows in place, one is replaced, one only depends_on."""

    def of(kind: str) -> Callable[[], object]:
        def program() -> None:
            a = Thing("a", {"kind": kind, "size": 1})
            Thing("b", {"name": "b", "link": a.arn})
            Thing("c", {"name": "c", "kind": a.name})
            Thing("d", {"name": "d"}, ResourceOptions(depends_on=[a]))
            pulumi.export("a", a.name)

        return program

    bench.up(of("x"))
    bench.preview(of("y"))
    bench.up(of("y"))
    bench.up(of("y"))


def delete_before_replace(bench: Bench) -> None:
    """A named resource; a dependent whose immutable input is fed by it goes too, one in place, one only depends_on."""

    def of(kind: str) -> Callable[[], object]:
        def program() -> None:
            a = Thing("a", {"name": "a", "kind": kind}, ResourceOptions(delete_before_replace=True))
            Thing("b", {"name": "b", "link": a.arn})
            c = Thing("c", {"name": "c", "kind": a.arn})
            Thing("d", {"name": "d"}, ResourceOptions(depends_on=[a]))
            Thing("f", {"name": "f", "link": c.arn})

        return program

    bench.up(of("x"))
    bench.preview(of("y"))
    bench.up(of("y"))
    bench.up(of("y"))


def provider_deletes_first(bench: Bench) -> None:
    """The provider itself asks for it; and delete_before_replace=False against it."""

    def of(kind: str, options: ResourceOptions | None = None) -> Callable[[], object]:
        def program() -> None:
            a = Thing("a", {"name": "a", "kind": kind}, options, kind="Fixed")
            Thing("b", {"name": "b", "kind": a.arn}, kind="Fixed")

        return program

    bench.up(of("x"))
    bench.preview(of("y"))
    bench.up(of("y"))
    bench.up(of("z", ResourceOptions(delete_before_replace=False)))


def pending_delete(bench: Bench) -> None:
    """The deletion of the old one fails: it waits with delete: true, and the next run deletes it."""

    def of(kind: str) -> Callable[[], object]:
        def program() -> None:
            a = Thing("a", {"kind": kind})
            Thing("b", {"name": "b", "link": a.arn})

        return program

    bench.up(of("x"))
    bench.cloud.plant(**{"delete_a-id1": Fault("refuse")})
    bench.up(of("y"))
    bench.preview(of("y"))
    bench.up(of("y"))
    bench.cloud.plant()
    bench.up(of("y"))


# brothers


def replace_chain(bench: Bench) -> None:
    """Five in a chain, each replaced because the one before it is."""

    def of(kind: str) -> Callable[[], object]:
        def program() -> None:
            link: pulumi.Input[str] = kind
            for number in range(5):
                link = Thing(f"t{number}", {"kind": link}).arn

        return program

    bench.up(of("x"))
    bench.preview(of("y"))
    bench.up(of("y"))


def pending_replacement(bench: Bench) -> None:
    """Deleted, and its successor refused: the next run makes it; then once more, and it is no longer declared."""

    def of(kind: str) -> Callable[[], object]:
        def program() -> None:
            Thing("a", {"name": "a", "kind": kind}, kind="Fixed")

        return program

    def nothing() -> None:
        Thing("z", {"name": "z"})

    bench.up(of("x"))
    bench.cloud.plant(create_a=Fault("refuse"))
    bench.up(of("y"))
    bench.preview(of("y"))
    bench.cloud.plant()
    bench.up(of("y"))
    bench.cloud.plant(create_a=Fault("refuse"))
    bench.up(of("z"))
    bench.cloud.plant()
    bench.up(nothing)


def replacement_refused(bench: Bench) -> None:
    """Create before delete, and the new one is refused: the old one stays as it is."""

    def of(kind: str) -> Callable[[], object]:
        return lambda: Thing("a", {"kind": kind})

    bench.up(of("x"))
    bench.cloud.plant(create_a=Fault("refuse"))
    bench.up(of("y"))
    bench.cloud.plant()
    bench.up(of("y"))
    bench.destroy()


def destroy_with_pending_delete(bench: Bench) -> None:
    """An old one that waits for its deletion goes with destroy."""

    def of(kind: str) -> Callable[[], object]:
        return lambda: Thing("a", {"kind": kind})

    bench.up(of("x"))
    bench.cloud.plant(**{"delete_a-id1": Fault("refuse")})
    bench.up(of("y"))
    bench.cloud.plant()
    bench.destroy()


def replaced_twice(bench: Bench) -> None:
    """A second replacement while the first one's old resource still waits."""

    def of(kind: str) -> Callable[[], object]:
        return lambda: Thing("a", {"kind": kind})

    bench.up(of("x"))
    bench.cloud.plant(**{"delete_a-id1": Fault("refuse")})
    bench.up(of("y"))
    bench.cloud.plant()
    bench.up(of("z"))
    bench.up(of("z"))
