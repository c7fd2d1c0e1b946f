"""Reads through an API server that is just being started again, or is busy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from infra.kubernetes.client import is_passing
from infra.targets.base import Clock
from modelpack.errors import EcomdeployError

T = TypeVar("T")
PAUSE: Final = 0.25


def look_patiently(read: Callable[[], T], end: float, clock: Clock) -> T:
    """What `read` gives, asked again until the moment `end` of the clock for as long as the API server is away.

    Raises:
        KubernetesRefused, KubernetesUnreachable: it is away still, or says no for good.
    """
    while True:
        try:
            return read()
        except EcomdeployError as error:
            if not is_passing(error) or clock.now() + PAUSE > end:
                raise
        clock.sleep(PAUSE)
