"""The only printer of results: one JSON document, or words. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from typer.exceptions import TyperException

from cli.terminal import visible
from cli.words import align
from modelpack.errors import BadInput, EcomdeployError


def say(text: str = "") -> None:
    """A line of result on stdout."""
    print(visible(text), flush=True)


def write(text: str) -> None:
    """A piece of a line of result on stdout."""
    print(visible(text), end="", flush=True)


def document(data: Mapping[str, Any] | Sequence[Any]) -> None:
    """The one JSON document of `--json`."""
    print(json.dumps(data, indent=2, default=str), flush=True)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns."""
    for line in align(columns, rows):
        say(line)


def next_step(command: str, why: str = "") -> None:
    """The last line of a command: what to type next."""
    say(f"Next: {command}" + (f"   ({why})" if why else ""))


def complain(text: str) -> None:
    print(visible(text), file=sys.stderr, flush=True)


def error(error: EcomdeployError, as_json: bool) -> None:
    """What happened, where, and what to type next; as data when data was asked for."""
    what, more = str(error), {}
    if isinstance(error, BadInput):
        more["problems"] = [
            {"what": problem.what, "where": problem.where, "path": problem.path, "hint": problem.hint}
            for problem in error.problems
        ]
    words = f"Error: {what}" if "\n" not in what else f"{what.count(chr(10)) + 1} errors:\n{what}"
    _end(what, error.hint, error.exit_code, as_json, words, more)


def usage(problem: TyperException, as_json: bool) -> None:
    """A mistyped command line; where it is only unfinished, help was shown already."""
    text, context = problem.format_message(), getattr(problem, "ctx", None)
    if text:
        _end(text, f"{context.command_path if context else 'ecomdeploy'} --help", 2, as_json)


def say_interrupted(as_json: bool) -> None:
    """Ctrl-C or SIGTERM: say that it is safe."""
    text = "interrupted: what serves keeps serving; the same command again goes on from here"
    _end(text, "", 130, as_json, text)


def bug(error: Exception, as_json: bool) -> None:
    """What nobody foresaw: ours to mend."""
    hint = "this is a fault in ecomdeploy; ECOMDEPLOY_TRACE=1 in front of the same command shows where"
    _end(f"{type(error).__name__}: {error}", hint, 1, as_json)


def _end(
    what: str, hint: str, code: int, as_json: bool, words: str = "", more: Mapping[str, Any] | None = None
) -> None:
    if as_json:
        document({"error": {"what": what, "hint": hint, "exit_code": code, **(more or {})}})
    complain(words or f"Error: {what}")
    if hint:
        complain(f"Hint: {hint}")


def megabytes(size: float) -> str:
    """Bytes as decimal MB."""
    return f"{size / 1e6:,.1f} MB"
