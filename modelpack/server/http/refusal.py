"""A request that gets an error answer."""

from __future__ import annotations


class Refusal(Exception):
    """`status` is the HTTP status, `reason` what the caller reads in `{"error": ...}`."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
