"""Calls of the user's own code: what it raises is told with his file and line, and never as a traceback of ours."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelpack.errors import BadInput, EcomdeployError, Problem, first_line


def ask(method: Callable[..., Any], *given: Any) -> Any:
    """What the user's method answers. Raises BadInput with his line for whatever it raises."""
    try:
        return method(*given)
    except EcomdeployError:
        raise
    except (Exception, SystemExit) as error:
        file = Path(inspect.getfile(method))
        what = f"{method.__name__}() raised {type(error).__name__}: {first_line(error)}"
        raise BadInput(what, where=place_of(error, file) or place(method)) from error


def place_of(error: BaseException, file: Path) -> str:
    """`file:line` of the last line in the user's file that an error came through; empty when there is none."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return f"{file}:{error.lineno}"
    frames = [one for one in traceback.extract_tb(error.__traceback__) if Path(one.filename) == file]
    return f"{file}:{frames[-1].lineno}" if frames else ""


def place(method: Callable[..., Any]) -> str:
    """`file:line` where a method is defined."""
    file = inspect.getfile(method)
    try:
        return f"{file}:{inspect.getsourcelines(method)[1]}"
    except OSError:
        return file


def takes(method: Callable[..., Any], count: int) -> bool:
    """Whether it can be called with `count` values by place."""
    try:
        inspect.signature(method).bind(*range(count))
    except TypeError:
        return False
    return True


def complain(method: Callable[..., Any], what: str, hint: str) -> Problem:
    """A problem at a method's definition."""
    return Problem(what, place(method), hint=hint)
