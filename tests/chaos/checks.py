"""The invariants, asked of the cloud: somebody serves, nothing doubled, nothing orphaned, the next `up` converges and
the one after makes no mutating call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tests.chaos.shop import EMPTY, ENDPOINT, Shop
from tests.chaos.stage import KILLED, Ended


@contextmanager
def served(shop: Shop, *words: str) -> Iterator[None]:
    """A client asks throughout, and is answered by a release of these words every time."""
    with shop.watched() as watch:
        yield
    last = shop.ask()
    allowed = {shop.digests[word] for word in words}
    assert not watch.wrong, f"{len(watch.wrong)} requests were not answered: {watch.wrong[0]}"
    assert {*watch.answers, last} <= allowed, "something answers that nobody released"


def in_our_words(ended: Ended) -> None:
    """It was killed, or did its work, or said in our words why not."""
    assert ended.status in (0, 1, KILLED), f"{ended.error}: {ended.said}"


def converges(shop: Shop, word: str, *states: str) -> None:
    """`up` makes the release of this word serve; nothing is there beside what one of these states has."""
    done = shop.do("up", word)
    assert done.outcome["verified"] is True, done.outcome
    assert shop.ask() == shop.digests[word], "another release answers"
    holds_what(shop, *states)
    before = shop.mutating()
    again = shop.do("up", word)
    assert again.outcome["outcome"] == "nothing to do", again.outcome["outcome"]
    assert shop.mutating() == before, "an `up` after the one that converged changed something"


def stands(shop: Shop) -> None:
    """What the endpoint runs on is there: a server that ends, or one more, is started from it."""
    sagemaker = shop.client("sagemaker")
    on = sagemaker.describe_endpoint(EndpointName=ENDPOINT)["EndpointConfigName"]
    names = [one["EndpointConfigName"] for one in sagemaker.list_endpoint_configs()["EndpointConfigs"]]
    assert on in names, f"the endpoint is on {on}, which was deleted"
    for variant in sagemaker.describe_endpoint_config(EndpointConfigName=on)["ProductionVariants"]:
        sagemaker.describe_model(ModelName=variant["ModelName"])


def is_refused(ended: Ended) -> None:
    """Another is at work: it was told so, and sent nothing that changes anything. (The cloud's count may still grow:
    the other one has calls under way.)"""
    assert ended.error == "Locked", f"{ended.status} {ended.error}: {ended.said}"
    called = [one for one in ended.effects if one.startswith("call")]
    assert called == [], f"who is refused changes nothing, and it called {called}"


def is_gone(shop: Shop, word: str) -> None:
    """`down` leaves nothing."""
    done = shop.do("down", word)
    assert done.outcome["remaining"] == [], done.outcome["remaining"]
    holds_what(shop, EMPTY)


def holds_what(shop: Shop, *states: str) -> None:
    """The cloud has exactly what it has in one of these states, and of what is spared perhaps more."""
    there = shop.holdings()
    if not any(
        without(shop, there - shop.whole[state]) == shop.whole[state] - there == Counter() for state in states
    ):
        wanted = shop.whole[states[0]]
        raise AssertionError(
            f"too much: {tell(without(shop, there - wanted))}; too little: {tell(wanted - there)}"
        )


def without(shop: Shop, things: Counter[str]) -> Counter[str]:
    return Counter({name: count for name, count in things.items() if name not in shop.spared})


def tell(things: Counter[str]) -> str:
    return ", ".join(sorted(things.elements())) or "nothing"
