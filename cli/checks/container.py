"""How model servers will be isolated on this machine."""

from __future__ import annotations

import os

from cli.checks.base import CheckContext, Finding

WITHOUT = {True: "a changed root and a user of its own", False: "a plain process, which keeps nothing apart"}
"""By whether root asks."""


def check(context: CheckContext) -> Finding:
    kind = "namespaces and a user of its own" if os.geteuid() == 0 else "user namespace"
    return Finding("isolation", "ok", f"{kind}; where the kernel denies that: {WITHOUT[os.geteuid() == 0]}")
