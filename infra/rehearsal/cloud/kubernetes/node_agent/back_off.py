"""How long a container that failed is left alone, as a kubelet counts.

kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-restarts
"""

from __future__ import annotations

FIRST_BACK_OFF, LONGEST_BACK_OFF = 10.0, 300.0
STEADY_SECONDS = 600.0
"""A container that ran as long starts its back-off anew (twice the longest back-off)."""


def back_off(failures: int, first: float = FIRST_BACK_OFF) -> float:
    """Seconds before the start after so many failures in a row: the first is started again at once."""
    return 0.0 if failures <= 1 else float(min(first * 2 ** (failures - 2), LONGEST_BACK_OFF))


def as_go(seconds: float) -> str:
    """As Go writes a duration."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
