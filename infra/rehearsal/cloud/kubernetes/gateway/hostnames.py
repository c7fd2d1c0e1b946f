"""Hostnames with or without a leading wildcard, as the Gateway API compares them."""

from __future__ import annotations

from infra.rehearsal.cloud.kubernetes.gateway.table import ANY_HOST


def covers(pattern: str, host: str) -> bool:
    """Whether every request for `host` (itself perhaps a wildcard) is one for `pattern`."""
    if pattern == ANY_HOST:
        return True
    if pattern.startswith("*."):
        return host.removeprefix("*").endswith(pattern[1:]) and host != pattern[2:]
    return pattern == host


def intersect(one: str, other: str) -> str | None:
    """The narrower of two, when it lies in the wider one."""
    if covers(one, other):
        return other
    return one if covers(other, one) else None


def specificity(host: str) -> tuple[bool, int]:
    """Larger for what comes first: names before wildcards, long ones before short ones."""
    return not host.startswith("*"), len(host)
