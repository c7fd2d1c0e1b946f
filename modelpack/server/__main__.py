"""`python3 -m modelpack.server [serve | guard]`: the model's server, or the guard of a rollout (guarding/guard.py)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    if sys.argv[1:] == ["guard"]:
        from modelpack.server.guarding.guard import main as guard

        status = guard(os.environ)
    else:
        hashed = None
        if sys.argv[1:] in ([], ["serve"]):
            from modelpack.server.hashing import begin

            # before all else: what follows is imported beside it
            hashed = begin(Path(os.environ.get("ECOMDEPLOY_ROOT", "/")))
        from modelpack.server.main import main

        status = main(sys.argv[1:], os.environ, hashed)
    sys.stdout.flush()
    sys.stderr.flush()
    # the interpreter's own end would tear native libraries from under threads that may still be loading them
    os._exit(status)
