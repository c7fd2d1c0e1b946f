"""No pattern backtracks for ever: every regular expression of ours takes time that grows as the text does.

The patterns are found in the sources, the attacks are made from each pattern's own tree: what stands before a
repetition, then what it repeats many times over, then something that fits nothing; and every beginning over and over.
"""

from __future__ import annotations

import ast
import importlib
import multiprocessing
import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from backtracking import slow

ROOT = Path(__file__).parents[2]
METHODS = ("match", "fullmatch", "search", "findall", "finditer", "sub", "split")
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


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[ProcessPoolExecutor]:
    """A process of its own: what ends an attack is a signal, which a process with threads of others may not survive."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def test_every_pattern_takes_as_long_as_its_text(elsewhere: ProcessPoolExecutor) -> None:
    found, others = patterns()
    assert len(found) >= 50
    assert set(MADE_OTHERWISE) >= others
    told = [
        (where, attack)
        for where, pattern, flags, methods in [*found, *by_hand()]
        if (attack := elsewhere.submit(slow, pattern, flags, methods).result()) is not None
    ]
    assert not told


@pytest.mark.parametrize("pattern", [r"(a+)+b", r"(\w|a)*!", r"\d+:\d+", r"x[^/]*/y", r"(?:[a-z]+_?)+\."])
def test_patterns_that_backtrack_are_found(pattern: str, elsewhere: ProcessPoolExecutor) -> None:
    """The attacks are no straw men."""
    assert elsewhere.submit(slow, pattern, 0, frozenset({"search"})).result() is not None
