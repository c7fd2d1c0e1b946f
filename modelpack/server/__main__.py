"""`python3 -m modelpack.server`."""

from __future__ import annotations

import os
import sys

from modelpack.server.main import main

if __name__ == "__main__":
    status = main(sys.argv[1:], os.environ)
    sys.stdout.flush()
    sys.stderr.flush()
    # the interpreter's own end would tear native libraries from under threads that may still be loading them
    os._exit(status)
