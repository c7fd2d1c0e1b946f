"""A request that gets an error answer."""

from __future__ import annotations

Headers = list[tuple[bytes, bytes]]

LONGEST_REASON = 600
"""Letters: a reason may quote what a caller sent."""


class Refusal(Exception):
    """`status` is the HTTP status, `reason` what the caller reads in `{"error": ...}`. `retry_after`: seconds after
    which it is worth asking again, as a header and in the body (SageMaker hands no header of an error through)."""

    def __init__(
        self, status: int, reason: str, headers: Headers | None = None, retry_after: int = 0
    ) -> None:
        reason = reason if len(reason) <= LONGEST_REASON else reason[: LONGEST_REASON - 3] + "..."
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers: Headers = headers or []
        self.retry_after = retry_after
