"""The local cloud: running or not."""

from __future__ import annotations

from cli.checks.base import CheckContext, Finding


def check(context: CheckContext) -> Finding:
    running = context.local_cloud()
    if not running:
        return Finding("cloud", "ok", "the local cloud is not running; `up` starts it on demand")
    return Finding("cloud", "ok", f"the local cloud answers at {running}")
