"""Where a service's history is read from: the ledger, and what was copied of it where this folder has none."""

from __future__ import annotations

from pathlib import Path

from cli import wiring
from modelpack.progress import Silent
from stacks.history.read import History
from stacks.spec import Spec


def history_of(folder: Path, spec: Spec) -> History:
    """Also where this folder has none of it; nothing is started."""
    wired, wanted = wiring.wire(folder.absolute(), spec, Silent()), wiring.derive_wanted(spec)
    return History(
        ledger=wired.ledger,
        service=spec.service,
        records=lambda: wired.published,
        bucket=wanted.bucket,
        where=wanted.records,
    )
