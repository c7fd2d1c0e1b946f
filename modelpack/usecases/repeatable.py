"""Training that gives the same bytes each time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from modelpack.usecases.checkpoints import THREADS


@contextmanager
def repeatable(seed: int) -> Iterator[None]:
    """Deterministic kernels, one thread and a seed; torch's settings are put back afterwards."""
    import torch

    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(THREADS)
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(strict)
