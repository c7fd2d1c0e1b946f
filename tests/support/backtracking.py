"""Texts made to let a regular expression try and try again, and what a pattern makes of them in bounded time."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

LENGTH = 60_000
SECONDS = 0.5
"""Processor time for one attack: a linear pattern takes milliseconds, a quadratic one several seconds."""
LETTERS = "a0_-./ \n\t,:;=(<[{\"'%@+Z\x01\x00!é"


def fits(items: Any, letter: str) -> bool:
    """Whether a set of characters holds one."""
    negated = bool(items) and items[0][0] is codes.NEGATE
    hit = any(holds(kind, value, letter) for kind, value in items if kind is not codes.NEGATE)
    return hit != negated


def holds(kind: Any, value: Any, letter: str) -> bool:
    if kind is codes.LITERAL:
        return bool(ord(letter) == value)
    if kind is codes.RANGE:
        return bool(value[0] <= ord(letter) <= value[1])
    name = str(value)
    hit = (
        letter.isdigit()
        if "DIGIT" in name
        else letter.isspace()
        if "SPACE" in name
        else letter.isalnum() or letter == "_"
    )
    return hit != ("NOT_" in name)


def letters(items: Any) -> list[str]:
    """Some characters of a set, of different kinds."""
    own = [
        chr(value if kind is codes.LITERAL else value[0])
        for kind, value in items
        if kind in (codes.LITERAL, codes.RANGE)
    ]
    return [one for one in dict.fromkeys([*LETTERS, *own]) if fits(items, one)][:4] or ["a"]


def samples(tree: Any) -> list[str]:
    """A few texts that a part of a pattern takes."""
    found = [""]
    for kind, value in tree:
        found = [before + after for before in found[:2] for after in single(kind, value)][:6]
    return found


def single(kind: Any, value: Any) -> list[str]:
    if kind is codes.LITERAL:
        return [chr(value)]
    if kind is codes.NOT_LITERAL:
        return [one for one in LETTERS if ord(one) != value][:3]
    if kind is codes.ANY:
        return ["a", " "]
    if kind is codes.IN:
        return letters(value)
    if kind in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
        return [one * max(value[0], 1) for one in samples(value[2])]
    if kind is codes.SUBPATTERN:
        return samples(value[3])
    if kind is codes.ATOMIC_GROUP:
        return samples(value)
    if kind is codes.BRANCH:
        return [one for branch in value[1] for one in samples(branch)[:1]][:6]
    return [""]


def attacks(tree: Any, before: str = "") -> Iterator[str]:
    """Texts made to let a pattern try and try again."""
    for kind, value in tree:
        if kind in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
            for pump in samples(value[2]):
                if pump and value[1] > 1000:
                    many = pump * (LENGTH // len(pump))
                    yield from (before + many + tail for tail in ("", "\x00!", "\n"))
                    yield (before + pump) * (LENGTH // len(before + pump))
            yield from attacks(value[2], before)
        elif kind is codes.SUBPATTERN:
            yield from attacks(value[3], before)
        elif kind is codes.ATOMIC_GROUP:
            yield from attacks(value, before)
        elif kind is codes.BRANCH:
            for branch in value[1]:
                yield from attacks(branch, before)
        if before:
            yield before * (LENGTH // len(before))
        before += single(kind, value)[0]


class Endless(Exception):
    """A pattern used up its time."""


def ended(*_: Any) -> None:
    raise Endless


def ask(compiled: re.Pattern[Any], method: str, text: Any) -> None:
    """What a caller would do with the whole text. Raises Endless."""
    was = signal.signal(signal.SIGVTALRM, ended)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        if method == "sub":
            compiled.sub(text[:0], text)
        elif method == "finditer":
            any(False for _ in compiled.finditer(text))
        else:
            getattr(compiled, method)(text)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, was)


def slow(pattern: str | bytes, flags: int, methods: frozenset[str]) -> str | None:
    """An attack that a pattern does not get through, in words."""
    compiled = re.compile(pattern, flags)
    tree = parser.parse(pattern, flags)
    for attack in dict.fromkeys(attacks(tree)):
        text = attack.encode("latin-1", "replace") if isinstance(pattern, bytes) else attack
        for method in methods:
            try:
                ask(compiled, method, text)
            except Endless:
                return f"{method} on {attack[:60]!r}…"
    return None
