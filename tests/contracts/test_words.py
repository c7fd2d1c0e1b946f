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
