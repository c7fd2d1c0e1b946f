"""Copies of requests, sent beside the requests themselves: whoever asked waits for none of them.

How many SageMaker sends at once, and what becomes of those that a shadow variant cannot take, no page of AWS's says
(https://docs.aws.amazon.com/sagemaker/latest/dg/model-shadow-deployment.html). Here at most `AT_ONCE` are under way;
what comes meanwhile is left out.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

AT_ONCE = 64


@dataclass
class RequestCopies:
    """Each copy is a short-lived thread, which ends with the process."""

    _places: threading.BoundedSemaphore = field(
        default_factory=lambda: threading.BoundedSemaphore(AT_ONCE), repr=False
    )

    def send(self, share: float, send: Callable[[], object]) -> bool:
        """That `share` of the requests (0 to 1) is copied by `send`. Whether this one is."""
        if share < 1 and random.random() >= share:  # noqa: S311 - a sample, no secret
            return False
        if not self._places.acquire(blocking=False):
            return False
        threading.Thread(target=self._send, args=(send,), name="copy", daemon=True).start()
        return True

    def _send(self, send: Callable[[], object]) -> None:
        try:
            send()
        finally:
            self._places.release()
