"""Verdicts and locked packages made before, in the user's home by what they hold for.

`pack.lock` holds the current ones. A spec that is changed and changed back finds its first ones here, and so its first
image; what `pack.lock` says, as others committed it, counts more.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from modelpack.errors import BadInput
from modelpack.home import write_atomically
from modelpack.inputs.lock import SECTIONS, Lock, Section, has_key, section
from modelpack.inputs.resolve import Inputs
from modelpack.pack import encode


@dataclass(frozen=True)
class Remembered:
    """Sections of locks below `folder` (`Home.locked`): `<name>/<digest of what it holds for>.json`."""

    folder: Path

    def keep(self, lock: Lock) -> None:
        """Remember what a lock holds, in place of what was remembered for the same."""
        for name in SECTIONS:
            part: Section | None = getattr(lock, name)
            if part is not None and self.find(name, part.holds_for) != part:
                write_atomically(self.path(name, part.holds_for), encode(part.as_data()))

    def complete(self, inputs: Inputs, lock: Lock, packages: bool) -> Lock:
        """The lock with what was made before for these inputs where it holds something else; the packages where that
        is asked for: who deletes `pack.lock` gets those of today."""
        lock = self.recall(lock, "verdict", inputs.verdict_digest)
        served = inputs.find_locked_environment(lock)
        if served is None or not packages:
            return lock
        lock = self.recall(lock, "debs", served.debs_digest)
        return self.recall(lock, "wheels", served.wheels_digest)

    def recall(self, lock: Lock, name: str, holds_for: str) -> Lock:
        """The lock with a section that holds for this; as it is where none was made."""
        found = None if lock.get(name, holds_for) is not None else self.find(name, holds_for)
        return lock if found is None else lock.having(name, holds_for, found.content)

    def find(self, name: str, holds_for: str) -> Section | None:
        """What is remembered for this. Raises BadInput when its file is damaged."""
        path = self.path(name, holds_for)
        if not path.is_file():
            return None
        try:
            data = json.loads(path.read_text())
        except ValueError as error:
            raise BadInput(f"damaged: {error}", where=str(path), hint="delete the file") from error
        if not has_key(data) or data["for"] != holds_for:
            raise BadInput("damaged: it is no part of a lock", where=str(path), hint="delete the file")
        return section(data)

    def path(self, name: str, holds_for: str) -> Path:
        """Where a section lies."""
        return self.folder / name / f"{holds_for.removeprefix('sha256:')}.json"
