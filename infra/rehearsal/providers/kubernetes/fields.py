"""Who manages which field of an object: `metadata.managedFields`, read as trees.

A key of such a tree is `f:name`, `k:{"name":"web"}` (an item of a list by its keys), `v:"x"` (of a set), `i:0`, or
`.` (the field itself). A leaf is a whole value. Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from infra.kubernetes.client import KubernetesRefused, Object
from infra.rehearsal.engine.paths import Path, parse
from infra.rehearsal.providers.kubernetes.drift import MISSING, prune

FieldTree = Mapping[str, Any]

_MANAGER: Final = re.compile(r'conflict with "([^"]*)"')
_PULUMI: Final = frozenset({"pulumi-kubernetes", "pulumi-kubernetes.exe", "pulumi-resource-kubernetes"})
"""As which pulumi-kubernetes creates objects, before it applies to them under the resource's own manager."""


def entries(live: Object) -> list[dict[str, Any]]:
    """The managers of an object, one entry for each way in which each wrote to it."""
    found: list[dict[str, Any]] = live.get("metadata", {}).get("managedFields") or []
    return found


def is_applied_by(live: Object, manager: str) -> bool:
    """Whether that manager has applied it."""
    return any((one.get("manager"), one.get("operation")) == (manager, "Apply") for one in entries(live))


def tree_of(found: Iterable[Mapping[str, Any]]) -> FieldTree:
    """The fields of all these entries together."""
    merged: dict[str, Any] = {}
    for one in found:
        _merge(merged, one.get("fieldsV1") or {})
    return merged


def _merge(into: dict[str, Any], other: FieldTree) -> None:
    for key, below in other.items():
        _merge(into.setdefault(key, {}), below)


def conflicts(refused: KubernetesRefused) -> dict[str, tuple[str, ...]]:
    """The fields that an apply could not have, by who manages them; empty for another refusal."""
    held: dict[str, tuple[str, ...]] = {}
    for field, message in refused.causes if refused.status == 409 else ():
        match = _MANAGER.search(message)
        if match is not None:
            held[match[1]] = (*held.get(match[1], ()), field)
    return held


def may_take_from(manager: str) -> bool:
    """From whom fields are taken back: kubectl, which is a person's hand, and Pulumi's own earlier ways.

    pulumi-kubernetes takes over the same ones (provider/pkg/await/await.go, fixCSAFieldManagers)."""
    return manager.startswith("kubectl") or manager == "before-first-apply" or manager in _PULUMI


def was_made_by_pulumi(live: Object) -> bool:
    """Whether pulumi-kubernetes created it and has never applied to it since: its fields have another manager."""
    return any(one.get("manager") in _PULUMI and one.get("operation") == "Update" for one in entries(live))


def hand_over(live: Object, manager: str) -> list[dict[str, Any]]:
    """The managers once what Pulumi created is `manager`'s own, so that fields left out of an apply go."""
    ours = [
        one
        for one in entries(live)
        if not one.get("subresource")
        and (
            (one.get("manager") in _PULUMI and one.get("operation") == "Update")
            or (one.get("manager") == manager and one.get("operation") == "Apply")
        )
    ]
    rest = [one for one in entries(live) if one not in ours]
    joined = {**ours[0], "manager": manager, "operation": "Apply", "fieldsV1": tree_of(ours)}
    return [joined, *rest]


def leave_ignored(obj: Object, live: Object, ignored: Iterable[str], manager: str) -> Object:
    """The object as it is applied under `ignore_changes`: at such a path stays what is live.

    A field there that another manages, and we do not, is left out, so that no conflict comes of it and nothing is
    shared. A list that can only be managed whole goes as one; where the program changes more of it than what is
    ignored, it stays in, and the server names who has it."""
    theirs = tree_of(one for one in entries(live) if one.get("manager") != manager)
    ours = tree_of(one for one in entries(live) if one.get("manager") == manager)
    body = copy.deepcopy(obj)
    for path in (each for text in ignored for each in _expand(parse(text), body)):
        there = _get(live, path)
        if there is not MISSING:
            _set(body, path, there)
        reach = _reach(theirs, body, path)
        if reach is None or _reach(ours, body, path) is not None:
            continue
        whole = path[:reach]
        if prune(_get(live, whole), _get(body, whole)) == _get(body, whole):
            _remove(body, whole)
    return body


def _expand(path: Path, value: Any) -> Iterator[Path]:
    """The path with each `*` as every key or item that is there."""
    if "*" not in path:
        yield path
        return
    at = path.index("*")
    inside = _get(value, path[:at])
    keys: Iterable[str | int] = (
        inside if isinstance(inside, dict) else range(len(inside)) if isinstance(inside, list) else ()
    )
    for key in keys:
        yield from _expand((*path[:at], key, *path[at + 1 :]), value)


def _reach(tree: FieldTree, obj: Object, path: Path) -> int | None:
    """How many parts of the path lead to the managed field that holds it; None where it is not managed."""
    value: Any = obj
    for depth, part in enumerate(path):
        if depth and not set(tree) - {"."}:
            return depth
        below = _child(tree, value, part)
        if below is None:
            return None
        tree, value = below, _get(value, (part,))
    return len(path)


def _child(tree: FieldTree, value: Any, part: str | int) -> FieldTree | None:
    if isinstance(part, str):
        return tree.get(f"f:{part}")
    item = _get(value, (part,))
    for key, below in tree.items():
        if key.startswith("k:") and isinstance(item, dict):
            if all(item.get(name, wanted) == wanted for name, wanted in json.loads(key[2:]).items()):
                return below if isinstance(below, Mapping) else None
        elif (key.startswith("v:") and json.loads(key[2:]) == item) or key == f"i:{part}":
            return below if isinstance(below, Mapping) else None
    return None


def _get(value: Any, path: Path) -> Any:
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return MISSING
    return value


def _set(value: Any, path: Path, new: Any) -> None:
    holder = _get(value, path[:-1])
    if isinstance(holder, dict) or (isinstance(holder, list) and _get(holder, path[-1:]) is not MISSING):
        holder[path[-1]] = copy.deepcopy(new)  # type: ignore[index]


def _remove(value: Any, path: Path) -> None:
    holder = _get(value, path[:-1])
    if isinstance(holder, dict | list) and _get(holder, path[-1:]) is not MISSING:
        del holder[path[-1]]  # type: ignore[arg-type]
