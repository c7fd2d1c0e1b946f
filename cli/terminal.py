"""Text fit for a terminal: everything that this command writes there, but for JSON, goes through `visible`."""

from __future__ import annotations

import re

STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that steer a terminal, or turn the order of a line round, rather than being shown; and halves of
characters, which no stream takes."""


def visible(text: str) -> str:
    """The text with such characters as escapes: names come from files of strangers."""
    return STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
