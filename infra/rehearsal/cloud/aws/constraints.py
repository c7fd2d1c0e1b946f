"""Request parameters against what botocore's models say of them, with the services' own wording of a refusal.

Wording recorded (SageMaker examples #2236): "1 validation error detected: Value '...' at '...' failed to satisfy ...".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from infra.rehearsal.cloud.aws.calls import ApiError


def check(shape: Any, parameters: Mapping[str, Any]) -> None:
    """Required members, patterns, lengths, ranges and enumerations. Raises ApiError ValidationException."""
    problems = list(_problems(shape, parameters, "")) if shape is not None else []
    if problems:
        noun = "error" if len(problems) == 1 else "errors"
        text = f"{len(problems)} validation {noun} detected: {'; '.join(problems)}"
        raise ApiError("ValidationException", text)


def _problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    if shape.type_name == "structure":
        for name in shape.required_members:
            if value.get(name) is None:
                yield _problem("null", _join(path, name), "not be null")
        for name, member in shape.members.items():
            if value.get(name) is not None:
                yield from _problems(member, value[name], _join(path, name))
    elif shape.type_name == "list":
        yield from _measure(shape, len(value), value, path, "length")
        for number, item in enumerate(value, start=1):
            yield from _problems(shape.member, item, f"{path}.{number}.member")
    elif shape.type_name == "map":
        for item in value.values():
            yield from _problems(shape.value, item, f"{path}.member")
    elif shape.type_name == "string":
        yield from _measure(shape, len(value), value, path, "length")
        yield from _text(shape, value, path)
    elif shape.type_name in ("integer", "long", "float", "double"):
        yield from _measure(shape, value, value, path, "value")


def _text(shape: Any, value: str, path: str) -> Iterator[str]:
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        yield _problem(value, path, f"satisfy enum value set: [{', '.join(allowed)}]")
    pattern = shape.metadata.get("pattern")
    compiled = _compile(pattern) if pattern else None
    if compiled and not compiled.fullmatch(value):
        yield _problem(value, path, f"satisfy regular expression pattern: {pattern}")


def _measure(shape: Any, size: float, value: Any, path: str, what: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        yield _problem(value, path, f"have {what} greater than or equal to {least}")
    if most is not None and size > most:
        yield _problem(value, path, f"have {what} less than or equal to {most}")


def _problem(value: Any, path: str, must: str) -> str:
    shown = value if value == "null" else f"'{value}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: Member must {must}"


def _join(path: str, name: str) -> str:
    name = name[:1].lower() + name[1:]
    return f"{path}.{name}" if path else name


@lru_cache(maxsize=512)
def _compile(pattern: str) -> re.Pattern[str] | None:
    """None for a pattern that is written for Java's regular expressions only."""
    try:
        return re.compile(pattern)
    except re.error:
        return None
