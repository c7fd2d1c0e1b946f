"""What can go wrong in the engine itself. A cloud's own refusals are in provider.py."""

from __future__ import annotations


class EngineError(Exception):
    """Something that cannot be; the user is told in these very words."""


class Unsupported(EngineError):
    """A request beyond this engine's width: `what` is named, and so is the way out."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"{what} is not available in the embedded engine: use the Pulumi CLI")


class WrongPassphrase(EngineError):
    """The passphrase does not open this state."""


class Stopped(Exception):
    """The operation has failed, here or elsewhere, and has said why; nothing new starts."""
