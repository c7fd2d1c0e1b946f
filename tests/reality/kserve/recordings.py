"""What KServe 0.20.0 was measured to do (`recorded/`), and how two things are compared with it.

A recording: `input` as sent; `steps` with the object `stored` and its `children` afterwards; `timeline`, every stored
status in order, equal neighbours once. `<hash>` and its like stand for what changes from run to run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from infra.rehearsal.cloud.kubernetes.kserve.children import KServeSettings, Routes

Object = dict[str, Any]
FOLDER = Path(__file__).parent / "recorded"
HASH = re.compile(r"-[bcdfghjklmnpqrstvwxz2456789]{7,10}(?=[-\"]|$)")
TIMES = frozenset({"lastTransitionTime", "lastUpdateTime", "time"})
VOLATILE = TIMES | {"uid", "resourceVersion", "creationTimestamp", "managedFields"}


def recording(name: str) -> Any:
    """One of them, by the beginning of its file's name up to the first dash."""
    [path] = FOLDER.glob(f"{name}-*.json")
    return json.loads(path.read_text())


def names() -> list[str]:
    """Those with steps."""
    return sorted(path.name.split("-")[0] for path in FOLDER.glob("*.json") if _has_steps(path))


def _has_steps(path: Path) -> bool:
    return '"steps":' in path.read_text()


def settings_of(name: str) -> KServeSettings:
    """The configuration map under which it was recorded."""
    routes: Routes = "gateway" if name.startswith("g") else "none" if name == "i1" else "ingress"
    return KServeSettings(routes=routes)


def plain(value: Any, namespace: str = "") -> Any:
    """Without uids and times, hashes and addresses as the recordings have them; `namespace` is told as shop."""
    if isinstance(value, dict):
        kept = {key: plain(one, namespace) for key, one in value.items() if key not in VOLATILE}
        if "clusterIP" in kept:
            kept |= {"clusterIP": "<clusterIP>", "clusterIPs": ["<clusterIP>"]}
        return kept
    if isinstance(value, list):
        return [plain(one, namespace) for one in value]
    if isinstance(value, str):
        value = value.replace(namespace, "shop") if namespace else value
        return HASH.sub("-<hash>", value) if "ReplicaSet" in value or "replica set" in value else value
    return value


def merged(base: Any, change: Any) -> Any:
    """RFC 7386."""
    if not isinstance(change, dict):
        return deepcopy(change)
    told = dict(base) if isinstance(base, dict) else {}
    for key, value in change.items():
        if value is None:
            told.pop(key, None)
        else:
            told[key] = merged(told.get(key), value)
    return told


def refusal_rows() -> list[Object]:
    """The 102 cases: `input` written out, `code`, `reason` and `message` as answered."""
    found = recording("f1")
    return [
        row
        | {"input": merged(found["bases"][row["base"]], row["change"]) if "base" in row else row["change"]}
        for row in found["rows"]
    ]


def differences(mine: Any, theirs: Any, path: str = "") -> Iterator[str]:
    """Where two values differ, one a line."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        for key in sorted(mine.keys() | theirs.keys()):
            inner = f"{path}.{key}"
            if key not in mine:
                yield f"{inner}: recorded {theirs[key]!r}, ours none"
            elif key not in theirs:
                yield f"{inner}: ours {mine[key]!r}, recorded none"
            else:
                yield from differences(mine[key], theirs[key], inner)
    elif isinstance(mine, list) and isinstance(theirs, list) and len(mine) == len(theirs):
        for position, (one, other) in enumerate(zip(mine, theirs, strict=True)):
            yield from differences(one, other, f"{path}[{position}]")
    elif mine != theirs:
        yield f"{path}: ours {mine!r}, recorded {theirs!r}"
