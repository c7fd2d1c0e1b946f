"""What every test of this folder needs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def event_loop_of_outputs() -> Iterator[None]:
    """Pulumi's outputs are made in a thread that has an event loop; another test may have left this one without."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()
