"""`python dying_training.py N`: the training container's program, which kills itself after its N-th checkpoint."""

from __future__ import annotations

import itertools
import os
import signal
import sys

from modelpack.training.__main__ import main

if __name__ == "__main__":
    count, last = itertools.count(1), int(sys.argv[1])

    def die(name: str) -> None:
        if next(count) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.exit(main(os.environ, die))
