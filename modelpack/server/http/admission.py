"""Which request is let in: as many as are in work at once, and the bytes that they hold together."""

from __future__ import annotations

from modelpack.server.http.limits import Limits
from modelpack.server.http.refusal import Refusal

RETRY_SECONDS = 1


class Admission:
    """Counts what is in work; on the event loop only."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.requests = 0
        self.held = 0

    def enter(self) -> Share:
        """A request's share, which must be left. Raises `Refusal` (429) when there are too many."""
        if self.requests >= self._limits.requests:
            raise _busy(f"{self.requests} requests are in work")
        self.requests += 1
        return Share(self, self._limits.held)


class Share:
    """What one request holds of the server's memory."""

    __slots__ = ("_admission", "_bytes", "_most")

    def __init__(self, admission: Admission, most: int) -> None:
        self._admission, self._most, self._bytes = admission, most, 0

    def hold(self, size: int) -> None:
        """So many more bytes. Raises `Refusal` (429) when all requests together would hold too many."""
        if self._admission.held + size > self._most:
            raise _busy(f"requests in work hold {self._admission.held} bytes")
        self._admission.held += size
        self._bytes += size

    def leave(self) -> None:
        """Once, when the request is answered."""
        self._admission.requests -= 1
        self._admission.held -= self._bytes


def _busy(why: str) -> Refusal:
    return Refusal(429, f"the server is busy: {why}; ask again later", retry_after=RETRY_SECONDS)
