"""`make chaos ROWS="WORDS..."`: every point of the rows whose names have all of these words, without any: of all rows.

A processor has its rows, and a local cloud of its own for them. It takes an hour or more, and goes on where an earlier
run of the same sources was ended.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Lock

from tests.chaos.shares import list_rows, share_out
from tests.chaos.tally import Tally

AT_ONCE = min(4, os.cpu_count() or 1)
MUST_PASS = ("kill", "power cut", "two at once", "lease", "damage", "servers of other files")
"""Rows by their first words; of the others each miss is listed in docs/reliability.md."""


def main(words: Sequence[str]) -> int:
    tally = Tally.read()
    with ExitStack() as nothing:
        names = [row.name for row in list_rows(nothing, Path())]
    rows = iter([name for name in names if all(word in name for word in words)])
    lock = Lock()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        shares = [pool.submit(share_out, rows, tally, lock) for _ in range(AT_ONCE)]
    print("\n".join(tally.lines()))
    if lost := [share for share in shares if share.exception()]:
        print(f"{len(lost)} of {AT_ONCE} processes ended before their rows did")
    missed = any(name.startswith(MUST_PASS) for name in tally.failures())
    return 1 if missed or lost else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
