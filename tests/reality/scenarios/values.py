"""Values at the rims: large, small, odd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi

from tests.reality.bench import Bench
from tests.reality.scenarios.things import Group, Thing


def whole_numbers(bench: Bench) -> None:
    """Around 2^53 and beyond 2^63, as inputs and outputs."""

    def program() -> None:
        for name, number in {
            "a": 2**53 - 1,
            "b": 2**53,
            "c": 2**53 + 2,
            "d": 2**60,
            "e": -(2**53) - 2,
        }.items():
            Thing(name, {"name": name, "number": number})
            pulumi.export(name, number)
        pulumi.export("huge", 1e300)
        pulumi.export("third", 1 / 3)

    bench.up(program)
    bench.up(program)


def unicode(bench: Bench) -> None:
    """Names, keys and values beyond ASCII, control characters, what JSON must escape."""

    def program() -> None:
        Thing(
            "größe-日本",
            {"name": "größe", "tags": {"schlüssel": "wert 🎉", 'a"b': "line\nbreak\ttab \\ </script>"}},
        )
        pulumi.export("ключ", "значение\u2028")

    bench.preview(program)
    bench.up(program)
    bench.up(program)


def big_outputs(bench: Bench) -> None:
    """A stack output of a thousand entries, one of 200 kB, one thirty levels deep."""

    def program() -> None:
        deep: Any = "bottom"
        for _ in range(30):
            deep = {"d": [deep]}
        pulumi.export("many", {f"k{number}": number for number in range(300)})
        pulumi.export("long", "x" * 20_000)
        pulumi.export("deep", deep)

    bench.up(program)
    bench.up(program)


def nothing_and_empty(bench: Bench) -> None:
    """None, empty lists, maps and strings, false and zero, in inputs and outputs, and from one to another."""

    def of(value: Any) -> Callable[[], object]:
        def program() -> None:
            Thing("a", {"name": "a", "value": value, "nested": {"in": value}, "list": [value, 1]})
            pulumi.export("value", value)
            pulumi.export("nested", {"in": value})

        return program

    empties: tuple[Any, ...] = (None, "", 0, False, [], {})
    for value in empties:
        bench.up(of(value))


def resource_references(bench: Bench) -> None:
    """Resources as inputs and outputs: of a component, of the stack, in lists, of a component itself."""

    def program() -> None:
        group = Group("group")
        a = Thing("a", {"name": "a"})
        Thing("b", {"name": "b", "of": a, "all": [a]})
        group.register_outputs({"one": a, "all": [a, {"x": a}]})
        pulumi.export("thing", a.id)

    bench.preview(program)
    bench.up(program)
    bench.up(program)
    bench.destroy()


def type_changes(bench: Bench) -> None:
    """The type of an input changes: a string, a number, a list, a map."""

    def of(value: Any) -> Callable[[], object]:
        return lambda: Thing("a", {"name": "a", "value": value})

    for value in ("1", 1, 1.5, [1], {"k": 1}):
        bench.up(of(value))
