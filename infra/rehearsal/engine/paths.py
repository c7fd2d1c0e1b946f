"""Property paths of ignore_changes: `a.b[0]["c d"]`, with `*` for every key or item.

Source: https://www.pulumi.com/docs/iac/concepts/options/ignorechanges/
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from infra.rehearsal.engine.values import Secret

Path = tuple[str | int, ...]

_PART: Final = re.compile(r"""\.?(?:\["((?:[^"\\]|\\.)*)"\]|\[(\d+|\*)\]|([^.\[\]]+))""")


def parse(text: str) -> Path:
    """Raises ValueError for what is no path."""
    parts: list[str | int] = []
    position = 0
    while position < len(text):
        match = _PART.match(text, position)
        if match is None:
            raise ValueError(f"not a property path: {text!r}")
        quoted, index, word = match.groups()
        if quoted is not None:
            parts.append(quoted.replace('\\"', '"'))
        elif index is not None:
            parts.append(index if index == "*" else int(index))
        else:
            parts.append(word)
        position = match.end()
    return tuple(parts)


def keep_old(news: dict[str, Any], olds: dict[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """`news` with the values that `olds` has at `paths`; what the old ones lack is left out."""
    result: Any = news
    for path in paths:
        result = _keep(result, olds, parse(path))
    return dict(result)


def _keep(new: Any, old: Any, path: Path) -> Any:
    if not path:
        return old
    if isinstance(new, Secret):
        return Secret(_keep(new.value, old, path))
    old = old.value if isinstance(old, Secret) else old
    head, rest = path[0], path[1:]
    if isinstance(new, dict):
        there = old if isinstance(old, dict) else {}
        heads = dict.fromkeys([*new, *there]) if head == "*" else [str(head)]
        return _keep_keys(new, there, heads, rest)
    if isinstance(new, list) and isinstance(old, list):
        indices: list[str | int] = [*range(len(new))] if head == "*" else [head]
        result = list(new)
        for index in indices:
            if isinstance(index, int) and index < len(new) and index < len(old):
                result[index] = _keep(new[index], old[index], rest)
        return result
    return new


def _keep_keys(new: dict[str, Any], old: dict[str, Any], heads: Iterable[str], rest: Path) -> dict[str, Any]:
    result = dict(new)
    for key in heads:
        if not rest:
            result.pop(key, None)
            result |= {key: old[key]} if key in old else {}
        elif key in new and key in old:
            result[key] = _keep(new[key], old[key], rest)
    return result
