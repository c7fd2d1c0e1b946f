"""What CI leaves to the night is a further case of a kind: each names the test of the same kind that CI does run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Left:
    """A mark, and the function that it names: of its own file, or with the path of another before it."""

    file: Path
    line: int
    like: str

    def named(self) -> tuple[Path, str]:
        file, _, function = self.like.rpartition("::")
        return (ROOT / file if file else self.file), function


def is_nightly(node: ast.AST) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith("mark.nightly")


def left_to_the_night() -> Iterator[Left]:
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        if file == Path(__file__) or "mark.nightly" not in (text := file.read_text()):
            continue
        for node in ast.walk(ast.parse(text)):
            if is_nightly(node):
                (like,) = node.keywords
                yield Left(file, node.lineno, ast.literal_eval(like.value))


def whole_functions(file: Path) -> dict[str, bool]:
    """The tests of a file, and whether all cases of one are nightly."""
    return {
        node.name: any(map(is_nightly, node.decorator_list))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


@pytest.mark.parametrize("left", left_to_the_night(), ids=lambda one: f"{one.file.name}:{one.line}")
def test_ci_runs_one_of_its_kind(left: Left) -> None:
    file, function = left.named()
    assert whole_functions(file).get(function) is False, f"CI does not run {left.like}"


def test_few_are_left_to_the_night() -> None:
    marked = list(left_to_the_night())
    assert 0 < len(marked) < 100
