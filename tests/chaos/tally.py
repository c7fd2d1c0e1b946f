"""Which points have passed, kept as they do, so that a run which was ended goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("cli", "stacks", "infra", "modelpack", "tests/chaos")
FILE = ROOT / "build" / "chaos.json"


def digest_of_sources() -> str:
    """Of all that a point rests on: with other sources the tally begins anew."""
    found = sorted(one for folder in SOURCES for one in (ROOT / folder).rglob("*.py"))
    return hashlib.sha256(b"\0".join(one.read_bytes() for one in found)).hexdigest()


@dataclass
class Tally:
    """By row, how many points it has and what came of each that was tried: "" is passed."""

    file: Path
    sources: str
    counts: dict[str, int] = field(default_factory=dict)
    points: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path = FILE) -> Tally:
        sources = digest_of_sources()
        try:
            kept = json.loads(file.read_text())
        except (FileNotFoundError, ValueError):
            kept = {}
        if kept.get("sources") != sources:
            return cls(file, sources)
        return cls(file, sources, kept["counts"], kept["points"])

    def which_passed(self, row: str) -> frozenset[int]:
        """Points of a row that need not be tried again."""
        return frozenset(int(at) for at, failure in self.points.get(row, {}).items() if not failure)

    def keep(self, row: str, count: int, at: int, failure: str) -> None:
        self.counts[row] = count
        self.points.setdefault(row, {})[str(at)] = failure
        self.file.parent.mkdir(exist_ok=True)
        document = {"sources": self.sources, "counts": self.counts, "points": self.points}
        self.file.write_text(json.dumps(document, indent=1))

    def lines(self) -> list[str]:
        """Passed of total by row; what was not tried counts as not passed."""
        said = [f"{self.passed(row):4} of {count:4}  {row}" for row, count in self.counts.items()]
        total = sum(map(self.passed, self.counts))
        return [*said, f"{total:4} of {sum(self.counts.values()):4}  all"]

    def passed(self, row: str) -> int:
        return sum(not failure for failure in self.points.get(row, {}).values())

    def failures(self) -> Mapping[str, str]:
        return {
            f"{row}, {at}": failure
            for row, points in self.points.items()
            for at, failure in points.items()
            if failure
        }
