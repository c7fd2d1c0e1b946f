"""Changed in the cloud behind the state's back."""

from __future__ import annotations

from collections.abc import Callable

import pulumi

from tests.reality.bench import Bench
from tests.reality.file_cloud import Fault
from tests.reality.scenarios.things import Thing, fan


def drift(bench: Bench) -> None:
    """An input by hand, a key added, one deleted that another depends on; refresh in every form."""

    def program() -> None:
        Thing("a", {"name": "a", "size": 1})
        b = Thing("b", {"name": "b", "size": 1})
        Thing("c", {"name": "c", "link": b.arn})
        Thing("d", {"name": "d", "tags": {"x": 1}})
        Thing("f", {"name": "f"})
        pulumi.export("b", b.arn)

    def by_hand() -> None:
        with bench.cloud.open() as document:
            things = document["things"]
            things["a-id1"]["inputs"]["size"] = 9
            things["d-id1"]["inputs"]["tags"] = {"x": 1, "by-hand": 2}
            things.pop("b-id1", None) or things.pop("b-id2", None)

    bench.up(program)
    by_hand()
    bench.preview(program)
    bench.preview(program, refresh=True)
    bench.refresh()
    bench.preview(program)
    bench.up(program)
    by_hand()
    bench.up(program, refresh=True)
    bench.up(program)


def refresh_refused(bench: Bench) -> None:
    """One resource cannot be read."""
    bench.up(fan)
    bench.cloud.plant(**{"read_b-id1": Fault("refuse", "AccessDenied")})
    bench.refresh()
    bench.up(fan, refresh=True)
    bench.cloud.plant()
    bench.up(fan, refresh=True)


# brothers


def everything_gone(bench: Bench) -> None:
    """All was deleted by hand: refresh, up; then destroy of what is not there."""
    bench.up(fan)
    with bench.cloud.open() as document:
        document["things"].clear()
    bench.preview(fan, refresh=True)
    bench.refresh()
    bench.up(fan)
    with bench.cloud.open() as document:
        document["things"].clear()
    bench.destroy()


def drift_of_immutable(bench: Bench) -> None:
    """An immutable input was changed by hand: after a refresh the program's value replaces it."""

    def program() -> None:
        a = Thing("a", {"kind": "x"})
        Thing("b", {"name": "b", "link": a.arn})

    bench.up(program)
    with bench.cloud.open() as document:
        document["things"]["a-id1"]["inputs"]["kind"] = "by hand"
    bench.refresh()
    bench.preview(program)
    bench.up(program)


def drift_wanted(bench: Bench) -> None:
    """What was changed by hand is what the program now says: nothing to do after a refresh, an update without."""

    def sized(size: int) -> Callable[[], object]:
        return lambda: Thing("a", {"name": "a", "size": size})

    bench.up(sized(1))
    with bench.cloud.open() as document:
        document["things"]["a-id1"]["inputs"]["size"] = 2
    bench.preview(sized(2))
    bench.up(sized(2), refresh=True)


def drift_of_secret(bench: Bench) -> None:
    """A secret was changed by hand: what is read stays secret, and the next up puts it right."""

    def program() -> None:
        Thing("a", {"name": "a", "password": pulumi.Output.secret("hush-hush-1")})

    bench.up(program)
    with bench.cloud.open() as document:
        document["things"]["a-id1"]["inputs"]["password"] = "changed by hand"
    bench.refresh()
    bench.up(program)
