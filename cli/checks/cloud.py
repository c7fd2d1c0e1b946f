"""The local cloud: running or not, and from which release of moto its snapshot is."""

from __future__ import annotations

from cli.checks.base import CheckContext, Finding


def check(context: CheckContext) -> Finding:
    from infra.rehearsal.cloud.client import LocalCloud

    running = LocalCloud(context.home).running()
    if running is None:
        return Finding("cloud", "ok", "the local cloud is not running; `up` starts it on demand")
    return Finding("cloud", "ok", f"the local cloud answers at {running.aws_url} (pid {running.pid})")
