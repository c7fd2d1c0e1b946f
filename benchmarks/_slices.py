"""Result files taken slice by slice (a use case at a time), each with the code and the tools it was taken with.

A slice of another version of `modelpack` is not carried over: writing one drops it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import modelpack
from benchmarks.__main__ import PACKAGES, RESULTS, machine
from modelpack.digests import installed_version, source_digest


def code() -> str:
    """Digest of all of modelpack's sources."""
    return source_digest(sorted(Path(modelpack.__file__).parent.rglob("*.py")))


def kept(name: str, results: Path = RESULTS) -> dict[str, Any]:
    """The slices of this very code in the result file."""
    path = results / f"{name}.json"
    if not path.is_file():
        return {}
    slices = json.loads(path.read_text())["figures"]
    return {key: one for key, one in slices.items() if one["code"] == code()}


def take(
    name: str,
    wanted: Sequence[str],
    measure: Callable[[str], Mapping[str, Any]],
    more: Sequence[str] = (),
    results: Path = RESULTS,
) -> int:
    """Measure slices one after another and write the file after each; `more` are packages to name by version.

    Returns an exit status: 1 when a slice failed, which the file then lacks.
    """
    failed = []
    for key in wanted:
        print(f"--- {name} {key}", file=sys.stderr)
        here, begun = machine(), code()
        try:
            figures = dict(measure(key))
        except Exception as problem:
            print(f"{key} failed: {problem!r}", file=sys.stderr)
            failed.append(key)
            continue
        if code() != begun:
            print(f"{key}: modelpack changed while it was measured; not kept", file=sys.stderr)
            failed.append(key)
            continue
        one = {
            "taken": datetime.now(UTC).isoformat(timespec="seconds"),
            "code": begun,
            "machine": here,
            "versions": {package: installed_version(package) for package in (*PACKAGES, *more)},
            **figures,
        }
        slices = {**kept(name, results), key: one}
        results.mkdir(exist_ok=True)
        document = {"benchmark": name, "figures": dict(sorted(slices.items()))}
        (results / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
        print(json.dumps(one, indent=1))
    return 1 if failed else 0
