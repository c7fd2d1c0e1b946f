"""How model servers will be isolated on this machine."""

from __future__ import annotations

import os
import shutil

from cli.checks.base import CheckContext, Finding


def check(context: CheckContext) -> Finding:
    runtimes = [name for name in ("runc", "podman") if shutil.which(name)]
    kind = (
        "chroot (root)"
        if os.geteuid() == 0
        else "user namespace, or a plain process from the image's own files"
    )
    return Finding("isolation", "ok", f"{kind}; container runtimes found: {', '.join(runtimes) or 'none'}")
