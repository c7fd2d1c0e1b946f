"""The glossary (docs/architecture/words.md) against the code: one noun, one class, at its place; no old word."""

from __future__ import annotations

import ast
import fnmatch
import pathlib
import re
from collections import defaultdict
from functools import cache
from typing import Any

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORDS = ROOT / "docs" / "architecture" / "words.md"
ROOMS = ("cli", "stacks", "infra", "modelpack")
FOLDERS = (*ROOMS, "benchmarks", "docs", "examples", "tests")
TEXTS = (".py", ".md", ".yaml", ".yml", ".json", ".toml", ".tmpl")
IRREGULAR = re.compile(
    "begun|bent|bitten|blown|borne|bound|bought|broken|brought|built|burnt|caught|chosen|crept|cut|"
    "dealt|done|drawn|driven|dug|eaten|fallen|fed|felt|flown|forgotten|fought|found|frozen|given|"
    "gone|grown|heard|held|hidden|hung|kept|known|laid|lain|led|left|lent|lit|lost|made|meant|"
    "met|overridden|paid|proven|put|read|rebuilt|rewritten|ridden|risen|rung|said|sat|seen|sent|"
    "shaken|shot|shown|shrunk|slept|slid|sold|sought|spent|split|spoilt|spoken|spread|spun|stolen|"
    "stood|struck|stuck|sung|swept|sworn|swung|taken|taught|thought|thrown|told|torn|undone|"
    "understood|withdrawn|woken|won|worn|wound|woven|written|[a-z]+ed"
)
VERBS_TOO = ("bound", "cut", "put", "read", "split", "spread", "feed", "need", "seed", "embed", "speed")
PARTICLES = re.compile("after|apart|as|aside|at|away|by|down|for|from|here|in|into|off|on|out|to|up|with")
NOT_OURS = {"expected", "received"}
"""Names of methods that a library asks for, or that users write: `expected()` says the answers, as `requests()`."""
ABOUT_WORDS = ("docs/architecture/words.md", "tests/contracts/test_words.py", "CHANGELOG.md")


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading, without backquotes; `\\|` is a bar within a cell."""
    section = WORDS.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    return [[cell.strip().replace(r"\|", "|") for cell in line] for line in cells]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


NOUNS: list[Any] = [(noun, *code(name), *code(place)) for noun, name, place, *_ in rows("Nouns")]
OLD: list[Any] = [(once, *code(pattern), tuple(code(where))) for once, pattern, _, where in rows("Old words")]


@cache
def classes() -> dict[str, list[str]]:
    """Every class of the product by name: where it is defined."""
    found: dict[str, list[str]] = defaultdict(list)
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    found[node.name].append(path.relative_to(ROOT).as_posix())
    return found


@cache
def functions() -> dict[str, str]:
    """Every function and method of the product by where it is; what is read like an attribute is none."""
    found = {}
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not any(
                    "property" in ast.unparse(decorator) for decorator in node.decorator_list
                ):
                    found[f"{path.relative_to(ROOT).as_posix()}:{node.lineno}"] = node.name
    return found


def is_participle(name: str) -> bool:
    """`told`, `_kept`, `filled_up`: no verb. `known_names` is a thing, `read` and `put` are verbs."""
    first, *rest = name.strip("_").split("_")
    participle = IRREGULAR.fullmatch(first) and first not in VERBS_TOO
    return bool(participle and (not rest or PARTICLES.fullmatch(rest[0])))


@cache
def texts() -> dict[str, str]:
    """Everything that somebody wrote and somebody reads, by path."""
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in TEXTS]
    paths += [path for path in ROOT.iterdir() if path.suffix in TEXTS]
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in sorted(paths)}


def test_the_tables_are_read() -> None:
    assert len(NOUNS) > 40
    assert len(OLD) > 10
    assert all(len(row) == 3 for row in NOUNS)


@pytest.mark.parametrize(("noun", "name", "place"), NOUNS, ids=[row[0] for row in NOUNS])
def test_a_noun_is_one_class(noun: str, name: str, place: str) -> None:
    assert classes()[name] == [place]


def test_no_two_classes_share_a_name() -> None:
    assert {name: places for name, places in classes().items() if len(places) > 1} == {}


def test_functions_are_verbs_not_participles() -> None:
    assert [
        f"{where} {name}"
        for where, name in functions().items()
        if is_participle(name) and name not in NOT_OURS
    ] == []
    assert set(functions().values()) >= NOT_OURS, "an exception that nothing needs"


@pytest.mark.parametrize(
    ("name", "so"),
    [
        ("told", True),
        ("_kept", True),
        ("filled_up", True),
        ("known_names", False),
        ("read_key", False),
        ("feed", False),
    ],
)
def test_participles_are_told_from_verbs_and_things(name: str, so: bool) -> None:
    assert is_participle(name) is so


def test_a_noun_has_one_line() -> None:
    for column in (0, 1):
        named = [row[column] for row in NOUNS]
        assert sorted(set(named)) == sorted(named)


@pytest.mark.parametrize(("once", "pattern", "where"), OLD, ids=[row[0] for row in OLD])
def test_an_old_word_is_gone(once: str, pattern: str, where: tuple[str, ...]) -> None:
    old = re.compile(pattern)
    found = [
        f"{path}:{text[: match.start()].count(chr(10)) + 1}"
        for path, text in texts().items()
        if path not in ABOUT_WORDS and not any(fnmatch.fnmatch(path, pattern) for pattern in where)
        for match in old.finditer(text)
    ]
    assert not found, f"{once}: {', '.join(found[:20])}"


@pytest.mark.parametrize("once", [row[0] for row in OLD])
def test_what_an_old_word_may_still_stand_in_is_true(once: str) -> None:
    """An exception that nothing needs is taken off the page."""
    pattern, where = next((row[1], row[2]) for row in OLD if row[0] == once)
    idle = [
        glob
        for glob in where
        if not any(fnmatch.fnmatch(path, glob) and re.search(pattern, text) for path, text in texts().items())
    ]
    assert idle == []
