"""What an image's configuration says is run: whoever pushed it wrote it, so each field is held to its form.

Fields: github.com/opencontainers/image-spec/blob/main/config.md; how long an argument or variable may be: man 2 execve.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelpack.errors import EcomdeployError

USER = re.compile(r"(\d{1,10})(?::(\d{1,10}))?", re.ASCII)
MOST_ID = 2**32 - 2
"""The number above stands for no user (man 2 setresuid)."""
MOST_BYTES, MOST_LINES = 128 * 1024 - 1, 1000
"""Of one argument or variable, and how many of them there may be."""
MOST_TOTAL = 1024 * 1024
"""Bytes of all arguments, and of all variables: half of what the kernel takes."""


@dataclass(frozen=True, kw_only=True)
class ImageCommand:
    """`argv` with a path from the image's root first, `entry` words of it the entry point; `user` and group as
    numbers."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str
    user: tuple[int, int]
    entry: int = 0


def read_command(document: Mapping[str, Any]) -> ImageCommand:
    """Of an image's configuration. Raises EcomdeployError, with the field, for one that has not its form."""
    said = document.get("config")
    if not isinstance(said, dict):
        raise EcomdeployError("its configuration says no command to run: config is missing")
    entry = _lines(said, "Entrypoint")
    argv = (*entry, *_lines(said, "Cmd"))
    if not argv:
        raise EcomdeployError("its configuration says no command to run")
    if not argv[0].startswith("/"):
        raise EcomdeployError(f"its command must be a path from the root, not {argv[0][:100]!r}")
    return ImageCommand(
        argv=argv,
        environment=_environment(said),
        directory=_directory(said),
        user=_user(said),
        entry=len(entry),
    )


def _environment(said: Mapping[str, Any]) -> dict[str, str]:
    pairs = [line.partition("=") for line in _lines(said, "Env")]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise EcomdeployError(f"Env: {name[:100]!r} is not NAME=value")
    return {name: value for name, _, value in pairs}


def _directory(said: Mapping[str, Any]) -> str:
    found = said.get("WorkingDir", "/")
    if found in (None, ""):
        return "/"
    if not isinstance(found, str) or not found.startswith("/") or ".." in found.split("/"):
        raise EcomdeployError(f"WorkingDir must be a path from the root, not {str(found)[:100]!r}")
    return _text(found, "WorkingDir")


def _user(said: Mapping[str, Any]) -> tuple[int, int]:
    found = said.get("User", "0")
    if found in (None, ""):
        found = "0"
    match = USER.fullmatch(found) if isinstance(found, str) else None
    numbers = [int(number) for number in match.groups() if number] if match else []
    if not numbers or max(numbers) > MOST_ID:
        raise EcomdeployError(f"User must be numbers here, UID or UID:GID, not {str(found)[:100]!r}")
    return numbers[0], numbers[-1]


def _lines(said: Mapping[str, Any], field: str) -> tuple[str, ...]:
    found = said.get(field)
    if found is None:
        return ()
    if not isinstance(found, list) or len(found) > MOST_LINES:
        raise EcomdeployError(f"{field} must be a list of at most {MOST_LINES:,} texts")
    lines = tuple(_text(line, field) for line in found)
    if sum(len(line.encode()) for line in lines) > MOST_TOTAL:
        raise EcomdeployError(f"{field} has more than {MOST_TOTAL:,} bytes")
    return lines


def _text(line: object, field: str) -> str:
    """A text that the kernel takes. Raises EcomdeployError."""
    if not isinstance(line, str):
        raise EcomdeployError(f"{field} holds {str(line)[:100]!r}, which is no text")
    try:
        size = len(line.encode())
    except UnicodeEncodeError:
        raise EcomdeployError(f"{field} holds what is no Unicode") from None
    if "\0" in line or size > MOST_BYTES:
        raise EcomdeployError(f"{field} holds a text with a zero byte, or of more than {MOST_BYTES:,} bytes")
    return line
