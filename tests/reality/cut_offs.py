"""At which mutating calls a run on the real CLI was cut off and the next one converged: kept for the page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).with_name("cut_offs.json")


@dataclass(frozen=True)
class CutOffs:
    """Of one stack and one signal. `ups`, `downs`: mutating calls of an undisturbed `up` and `destroy`; `converged`:
    the points tried since these counts hold, each in both; `on` the day of the last one."""

    program: str
    signal: str
    ups: int
    downs: int
    on: str
    converged: tuple[int, ...] = ()

    @property
    def points(self) -> int:
        return max(self.ups, self.downs)


def read() -> Mapping[tuple[str, str], CutOffs]:
    """By program and signal."""
    kept = json.loads(FILE.read_text()) if FILE.exists() else []
    listed = [CutOffs(**{**one, "converged": tuple(one["converged"])}) for one in kept]
    return {(one.program, one.signal): one for one in listed}


def keep(now: CutOffs, points: Iterable[int]) -> None:
    """Add points that converged; with other counts than before the stack is another, and the tally begins anew."""
    kept = dict(read())
    before = kept.get((now.program, now.signal), now)
    same = (before.ups, before.downs) == (now.ups, now.downs)
    known = {*points, *(before.converged if same else ())}
    kept[now.program, now.signal] = replace(now, converged=tuple(sorted(known)))
    lines = ",\n".join(json.dumps(asdict(kept[key])) for key in sorted(kept))
    FILE.write_text(f"[{lines}]\n")
