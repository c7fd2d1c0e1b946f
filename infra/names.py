"""Names within AWS's limits."""

from __future__ import annotations

import hashlib

DIGITS = 8


def fit(name: str, longest: int) -> str:
    """The name where it fits, else its beginning and a digest of all of it, so that two long ones never become one."""
    if len(name) <= longest:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:DIGITS]
    return f"{name[: longest - DIGITS - 1].rstrip('-')}-{digest}"


def partition_of(region: str) -> str:
    """AWS's partition of a region ("aws-cn" for cn-north-1)."""
    heads = {"cn": "aws-cn", "us-gov": "aws-us-gov"}
    return next((name for head, name in heads.items() if region.startswith(f"{head}-")), "aws")
