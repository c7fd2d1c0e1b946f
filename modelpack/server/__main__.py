"""`python3 -m modelpack.server [serve | guard]`: the model's server, or the guard of a rollout (guarding/guard.py)."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    if sys.argv[1:] == ["guard"]:
        from modelpack.server.guarding.guard import main as guard

        status = guard(os.environ)
    else:
        from modelpack.server.main import main

        status = main(sys.argv[1:], os.environ)
    sys.stdout.flush()
    sys.stderr.flush()
    # the interpreter's own end would tear native libraries from under threads that may still be loading them
    os._exit(status)
