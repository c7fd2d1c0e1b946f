"""Reads the files that stand for endpoints' log groups, for the metrics in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from infra.rehearsal.cloud.aws.watching.logged_metrics import read_line

if TYPE_CHECKING:
    from infra.rehearsal.cloud.aws.overlay.base import Surroundings

READ_EVERY, LEAST_PAUSE = 10.0, 0.1
"""Seconds of AWS's between two looks into the logs, and the fewest of ours."""


@dataclass
class LogReader:
    """Reads on in the logs of all servers that answer for an endpoint."""

    account: Surroundings
    _read: dict[Path, int] = field(default_factory=dict)
    """How far each file was read, in bytes."""

    def run(self) -> None:
        """Again and again, until the daemon ends."""
        clock = self.account.clock
        while not self.account.ending.wait(max(clock.shorten(READ_EVERY), LEAST_PAUSE)):
            self.read()

    def read(self) -> None:
        """What was written since the last time."""
        logged = self.account.invocations.logged
        files = {
            self.account.host.log(way.server.id): region
            for (region, _), route in self.account.invocations.routes().items()
            for way in route
        }
        self._read = {file: at for file, at in self._read.items() if file in files}
        for file, region in files.items():
            for line in self._lines(file):
                for one in read_line(line):
                    logged.add(region, one)

    def _lines(self, file: Path) -> list[str]:
        """Whole lines only: one that is being written is read the next time."""
        try:
            with file.open("rb") as log:
                log.seek(self._read.get(file, 0))
                text = log.read()
        except OSError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._read[file] = self._read.get(file, 0) + len(whole)
        return whole.decode("utf-8", "replace").splitlines()
