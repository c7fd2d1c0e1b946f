"""x86-64 glibc Linux and Python 3.11 or newer: what images and packs are built for."""

from __future__ import annotations

import platform
import sys

from cli.checks.base import CheckContext, Finding


def check(context: CheckContext) -> Finding:
    libc, version = platform.libc_ver()
    system = f"{platform.system()} {platform.machine()}, {libc or 'unknown libc'} {version}"
    here = f"{system}, Python {platform.python_version()}"
    fits = platform.system() == "Linux" and platform.machine() == "x86_64" and libc == "glibc"
    if fits and sys.version_info >= (3, 11):
        return Finding("machine", "ok", here)
    return Finding(
        "machine", "failure", here, "use x86-64 Linux with glibc and Python 3.11 or newer (a VM does)"
    )
