"""A part of the model server of the use case's own.

Asked by `inputs/server_files.py`, which puts its folder into the image, and by `serving.json`, which names it to the
server.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from modelpack.server.signature import HandlerModule


@runtime_checkable
class WithHandler(Protocol):
    """Requests are answered in another way than row by row."""

    @property
    def handler(self) -> HandlerModule:
        """An importable module with `load` (`modelpack.server.handler`), in a folder of such files."""


def handler_of(usecase: object) -> HandlerModule | None:
    """The use case's own handler; None: the server answers by itself."""
    return usecase.handler if isinstance(usecase, WithHandler) else None
