"""Which history of the account this is: another one after a reset, a kill, or a lost snapshot.

Whoever remembers what is in the account (stacks/pulumi_driver/converged.py) may trust that only within one
generation: after a `kill -9` up to two seconds are missing, and nobody can say which.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from modelpack.home import write_atomically


class Generation:
    """Kept in one small file; `id` is a random word. `lost` says what the last end did not keep."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.id = ""
        self.lost: tuple[str, ...] = ()

    def begin(self, whole: bool) -> None:
        """At a start: the same as before if the last end was graceful and its snapshot was read `whole`."""
        try:
            before = json.loads(self.file.read_bytes())
        except (OSError, ValueError):
            before = {}
        self.lost = tuple(before.get("lost", ()))
        same = whole and before.get("graceful") is True and isinstance(before.get("id"), str)
        self.id = before["id"] if same else secrets.token_hex(8)
        self._keep(graceful=False)

    def renew(self) -> None:
        """After a reset."""
        self.id = secrets.token_hex(8)
        self._keep(graceful=False)

    def end(self, lost: tuple[str, ...]) -> None:
        """After the last snapshot; with anything `lost` the next start is another generation."""
        self._keep(graceful=not lost, lost=lost)

    def _keep(self, graceful: bool, lost: tuple[str, ...] = ()) -> None:
        kept = {"id": self.id, "graceful": graceful, "lost": lost}
        write_atomically(self.file, json.dumps(kept).encode(), private=True)
