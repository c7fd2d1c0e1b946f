"""Rows of points at which a command is killed, its power cut, or its wire torn: one for each effect that it has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass

from tests.chaos.checks import converges, in_our_words, is_gone, served, stands
from tests.chaos.fuse import AFTER, BEFORE, CUT, KILL
from tests.chaos.rows import Row
from tests.chaos.shop import BACK, EMPTY, ONE, TWO, Shop
from tests.chaos.stage import KILLED

FOR_GOOD = 1000
KEY = "call CreateKey"
"""Of one that was carried out and never answered a key is left: the known miss of docs/reliability.md."""


@dataclass(frozen=True)
class Blow:
    """From `state` the command `verb` (of the pack `word`, to release `number`) is struck; `then` must hold."""

    name: str
    state: str
    verb: str
    then: Callable[[Shop], None]
    word: str = "two"
    number: int = 0
    also: tuple[tuple[str, str], ...] = ()
    """States, and the pack that an undisturbed `up` brings from there ("": none): what may be left in the end."""

    def strike(self, shop: Shop, at: int, how: str, lasts: int) -> None:
        shop.effects(self.state, self.verb, self.number, self.word)
        for state, word in self.also:
            shop.foresee(state, word)
        shop.put(self.state)
        order = {"number": self.number, "at": at, "how": how, "lasts": lasts}
        serves = self.state != EMPTY and self.verb != "down"
        with served(shop, "one", "two", "three") if serves else nullcontext():
            ended = shop.run(self.verb, self.word, **order)
            if (
                how == AFTER
                and KEY in [one for one in ended.effects if one.startswith("call")][at - 1 :][:lasts]
            ):
                shop.spared = frozenset({"key"})
            self.then(shop)
        in_our_words(ended)
        if how in (KILL, CUT):
            assert ended.status in (KILLED, 0)


def after_first(shop: Shop) -> None:
    converges(shop, "one", f"{EMPTY}, one")


def after_next(shop: Shop) -> None:
    converges(shop, "two", f"{ONE}, two")


def another_pack(shop: Shop) -> None:
    """The release that was cut short is not wanted any more; it keeps what it runs on as long as it may serve."""
    cut = shop.run("up", "three", when="call UpdateEndpoint")
    in_our_words(cut)
    stands(shop)
    converges(shop, "three", f"{ONE}, three", f"{TWO}, three")


def typed_again(shop: Shop) -> None:
    """The rollback typed once more: done now, or it was done."""
    again = shop.run("rollback", number=1)
    assert again.well or "serves" in again.said, f"{again.error}: {again.said}"
    assert shop.ask() == shop.digests["one"], "the release that was asked for does not answer"
    converges(shop, "one", BACK, f"{BACK}, one")


def after_rollback(shop: Shop) -> None:
    """A release after the live one, or the rollback itself where that was over."""
    converges(shop, "one", TWO, BACK, f"{BACK}, one")


def down_again(shop: Shop) -> None:
    is_gone(shop, "two")


def up_after_down(shop: Shop) -> None:
    """Releases that can still be put back may have been declared again, or not: it was asked to go."""
    converges(shop, "one", ONE, TWO, f"{EMPTY}, one")


ROLLED_BACK = ((BACK, ""), (BACK, "one"))
BLOWS = (
    Blow("the first up", EMPTY, "up", after_first, "one"),
    Blow("the next up", ONE, "up", after_next),
    Blow(
        "the next up, then another pack, killed too",
        ONE,
        "up",
        another_pack,
        also=((ONE, "three"), (TWO, "three")),
    ),
    Blow("rollback, typed again", TWO, "rollback", typed_again, number=1, also=ROLLED_BACK),
    Blow("rollback, then up", TWO, "rollback", after_rollback, number=1, also=ROLLED_BACK),
    Blow("down, typed again", TWO, "down", down_again),
    Blow("down, then up", TWO, "down", up_after_down, also=((ONE, ""), (EMPTY, "one"))),
)
WAYS = (
    (KILL, KILL, 1),
    (CUT, CUT, 1),
    ("a call torn before it arrives", BEFORE, 1),
    ("a call torn after it was carried out", AFTER, 1),
    ("no call arrives any more", BEFORE, FOR_GOOD),
    ("calls are carried out and never answered", AFTER, FOR_GOOD),
)


def rows(shop: Callable[[], Shop]) -> Iterator[Row]:
    for way, how, lasts in WAYS:
        for blow in BLOWS:
            if how != KILL and ", then" in blow.name:
                continue
            yield Row(
                f"{way}: {blow.name}",
                "sagemaker",
                count_effects(shop, blow, how),
                strike_with(shop, blow, how, lasts),
            )


def count_effects(shop: Callable[[], Shop], blow: Blow, how: str) -> Callable[[], int]:
    """How many points a row has: the effects of an undisturbed command, or its calls."""

    def count() -> int:
        effects = shop().effects(blow.state, blow.verb, blow.number, blow.word)
        return len([one for one in effects if how in (KILL, CUT) or one.startswith("call")])

    return count


def strike_with(shop: Callable[[], Shop], blow: Blow, how: str, lasts: int) -> Callable[[int], None]:
    """What a row does at each."""
    return lambda at: blow.strike(shop(), at, how, lasts)
