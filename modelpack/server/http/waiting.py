"""Waiting for the model no longer than the caller does, and no longer than a request may take."""

from __future__ import annotations

import asyncio

from modelpack.server.engines.base import Arrays
from modelpack.server.http.asgi import Disconnected, Request
from modelpack.server.http.refusal import Refusal

PATIENCE = 0.02
"""Seconds before it is watched whether the caller is still there: most answers come before."""


async def await_answer(future: asyncio.Future[Arrays], request: Request) -> Arrays:
    """What the future will hold. Raises `Disconnected` when the caller goes, `Refusal` (503) when it takes too long;
    either settles the future, so that rows which nobody waits for are not computed."""
    loop = asyncio.get_running_loop()
    watching: list[asyncio.Task[None]] = []
    begin = loop.call_later(PATIENCE, lambda: watching.append(loop.create_task(_watch(future, request))))
    try:
        return await future
    finally:
        begin.cancel()
        for task in watching:
            task.cancel()


async def _watch(future: asyncio.Future[Arrays], request: Request) -> None:
    end: Exception = Disconnected()
    try:
        async with asyncio.timeout_at(request.deadline):
            await request.await_disconnect()
    except TimeoutError:
        seconds = request.limits.seconds
        end = Refusal(503, f"not answered within {seconds} s", retry_after=seconds)
    if not future.done():
        future.set_exception(end)
