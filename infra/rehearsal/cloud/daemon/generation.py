"""Which history of the account this is: another one after a reset, a kill, or a lost snapshot.

Whoever remembers what is in the account (stacks/pulumi_driver/converged.py) may trust that only within one
generation: after a `kill -9` up to two seconds are missing, and nobody can say which.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from infra.rehearsal.cloud.own_files import write_atomically


class Generation:
    """Kept in one small file; `id` is a random word."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.id = ""

    def begin(self, whole: bool) -> None:
        """At a start: the same as before if the last end was graceful and its snapshot was read `whole`."""
        try:
            before = json.loads(self.file.read_bytes())
        except (OSError, ValueError):
            before = {}
        same = whole and before.get("graceful") is True and isinstance(before.get("id"), str)
        self.id = before["id"] if same else secrets.token_hex(8)
        self._keep(graceful=False)

    def renew(self) -> None:
        """After a reset."""
        self.id = secrets.token_hex(8)
        self._keep(graceful=False)

    def end(self) -> None:
        """After the last, exact snapshot."""
        self._keep(graceful=True)

    def _keep(self, graceful: bool) -> None:
        write_atomically(self.file, json.dumps({"id": self.id, "graceful": graceful}).encode())
