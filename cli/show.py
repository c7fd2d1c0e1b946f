"""The only printer of results: one JSON document, or words. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from typer.exceptions import TyperException

from cli.terminal import visible
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
    """Plain aligned columns: they read the same on a terminal and in a pipe."""
    widths = [max(len(row[index]) for row in [columns, *rows]) for index in range(len(columns))]
    for row in [columns, *rows]:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def next_step(command: str, why: str = "") -> None:
    """The last line of a command: what to type next."""
    say(f"Next: {command}" + (f"   ({why})" if why else ""))


def complain(text: str) -> None:
    print(visible(text), file=sys.stderr, flush=True)


def error(error: EcomdeployError, as_json: bool) -> None:
    """What happened, where, and what to type next; as data when data was asked for."""
    if as_json:
        found: dict[str, Any] = {
            "error": {"what": str(error), "hint": error.hint, "exit_code": error.exit_code}
        }
        if isinstance(error, BadInput):
            found["error"]["problems"] = [
                {"what": problem.what, "where": problem.where, "path": problem.path, "hint": problem.hint}
                for problem in error.problems
            ]
        document(found)
    complain(
        f"Error: {error}" if "\n" not in str(error) else f"{str(error).count(chr(10)) + 1} errors:\n{error}"
    )
    if error.hint:
        complain(f"Hint: {error.hint}")


def usage(problem: TyperException, as_json: bool) -> None:
    """A mistyped command line; where it is only unfinished, help was shown already."""
    text, context = problem.format_message(), getattr(problem, "ctx", None)
    if not text:
        return
    hint = f"{context.command_path if context else 'ecomdeploy'} --help"
    if as_json:
        document({"error": {"what": text, "hint": hint, "exit_code": 2}})
    complain(f"Error: {text}")
    complain(f"Hint: {hint}")


def say_interrupted(as_json: bool) -> None:
    """Ctrl-C or SIGTERM: say that it is safe."""
    text = "interrupted: what serves keeps serving; the same command again goes on from here"
    if as_json:
        document({"error": {"what": text, "hint": "", "exit_code": 130}})
    complain(text)


def bug(error: Exception, as_json: bool) -> None:
    """What nobody foresaw: ours to mend."""
    text = f"{type(error).__name__}: {error}"
    hint = "this is a fault in ecomdeploy; ECOMDEPLOY_TRACE=1 in front of the same command shows where"
    if as_json:
        document({"error": {"what": text, "hint": hint, "exit_code": 1}})
    complain(f"Error: {text}")
    complain(f"Hint: {hint}")


def megabytes(size: float) -> str:
    """Bytes as decimal MB."""
    return f"{size / 1e6:,.1f} MB"
