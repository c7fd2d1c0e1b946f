"""No pattern backtracks for ever: every regular expression of ours takes time that grows as the text does.

The patterns are found in the sources, the attacks are made from each pattern's own tree: what stands before a
repetition, then what it repeats many times over, then something that fits nothing; and every beginning over and over.
"""

from __future__ import annotations

import ast
import importlib
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LENGTH = 60_000
SECONDS = 0.5
"""Processor time for one attack: a linear pattern takes milliseconds, a quadratic one several seconds."""
METHODS = ("match", "fullmatch", "search", "findall", "finditer", "sub", "split")
LETTERS = "a0_-./ \n\t,:;=(<[{\"'%@+Z\x01\x00!é"
MADE_OTHERWISE = {
    "infra/rehearsal/cloud/aws/constraints.py": "AWS's own patterns, on signed calls of this home's owner",
    "modelpack/image/parts.py": "by `FORMS` below; at most 500 characters",
    "infra/rehearsal/cloud/registry/registry.py": "by `FORMS` below",
    "modelpack/usecases/chat/shop.py": "a word of the published texts that the chat is trained on",
}
"""Files with a pattern that is no literal, and why that is well."""

Found = tuple[str, "str | bytes", int, frozenset[str]]
"""Where, the pattern, its flags, how it is asked."""


def sources() -> Iterator[tuple[Path, ast.Module, str]]:
    for folder in ("cli", "stacks", "infra", "modelpack"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            text = file.read_text()
            if "re." in text:
                yield file, ast.parse(text), text


def literal(node: ast.expr, file: Path) -> str | bytes | None:
    """The pattern that an expression stands for: a literal, or a text of the module."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
        return node.value
    if isinstance(node, ast.Name):
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        value = getattr(importlib.import_module(module), node.id, None)
        return value if isinstance(value, str | bytes) else None
    return None


def asked(name: str, text: str, everything: str) -> frozenset[str]:
    """How a compiled pattern is asked: in its own file, else anywhere."""
    for place in (text, everything):
        if found := frozenset(re.findall(rf"\b{name}\.({'|'.join(METHODS)})\b", place)):
            return found
    return frozenset({"search"})


def target_of(statement: ast.AST) -> str | None:
    """The name that a statement assigns to."""
    if isinstance(statement, ast.AnnAssign):
        return ast.unparse(statement.target)
    return ast.unparse(statement.targets[0]) if isinstance(statement, ast.Assign) else None


def patterns() -> tuple[list[Found], set[str]]:
    """All patterns, and the files in which some are not literals."""
    found, others = [], set()
    everything = "\n".join(text for _, _, text in sources())
    for file, tree, text in sources():
        where = file.relative_to(ROOT).as_posix()
        for parent in ast.walk(tree):
            for call in ast.iter_child_nodes(parent):
                if not (isinstance(call, ast.Call) and ast.unparse(call.func).startswith("re.")):
                    continue
                method = ast.unparse(call.func).removeprefix("re.")
                if method not in (*METHODS, "compile"):
                    continue
                target = target_of(parent)
                pattern = literal(call.args[0], file)
                if pattern is None and target:
                    module = importlib.import_module(where.removesuffix(".py").replace("/", "."))
                    compiled = getattr(module, target, None)
                    pattern = compiled.pattern if isinstance(compiled, re.Pattern) else None
                if pattern is None:
                    others.add(where)
                    continue
                how = frozenset({method})
                if method == "compile":
                    how = asked(target, text, everything) if target else frozenset({"search"})
                found.append((f"{where}:{call.lineno}", pattern, flags_of(call), how))
    return found, others


def flags_of(call: ast.Call) -> int:
    named = re.findall(r"re\.(ASCII|IGNORECASE|DOTALL|MULTILINE|VERBOSE)\b", ast.unparse(call))
    return int(sum(getattr(re, name) for name in set(named)))


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


FOUND, OTHERS = patterns()


def by_hand() -> list[Found]:
    """Patterns that the sources put together."""
    from infra.rehearsal.cloud.registry.registry import NAME
    from modelpack.image.parts import DEB_FORMS, WHEEL_FORMS

    whole = frozenset({"fullmatch"})
    forms = [*DEB_FORMS.values(), *WHEEL_FORMS.values()]
    routes = [
        rf"/v2/{NAME}/{end}"
        for end in ("tags/list", "manifests/(?P<reference>[^/]+)", "blobs/uploads/(?P<upload>[^/]*)")
    ]
    found: list[Found] = [(f"form {at}", one, int(re.ASCII), whole) for at, one in enumerate(forms)]
    return [*found, *((f"route {at}", one, 0, whole) for at, one in enumerate(routes))]


@pytest.mark.parametrize("found", [*FOUND, *by_hand()], ids=lambda one: one[0])
def test_a_pattern_takes_as_long_as_its_text(found: Found) -> None:
    _, pattern, flags, methods = found
    assert slow(pattern, flags, methods) is None


def test_every_pattern_is_looked_at() -> None:
    assert len(FOUND) >= 50
    assert set(MADE_OTHERWISE) >= OTHERS


@pytest.mark.parametrize("pattern", [r"(a+)+b", r"(\w|a)*!", r"\d+:\d+", r"x[^/]*/y", r"(?:[a-z]+_?)+\."])
def test_patterns_that_backtrack_are_found(pattern: str) -> None:
    """The attacks are no straw men."""
    assert slow(pattern, 0, frozenset({"search"})) is not None
