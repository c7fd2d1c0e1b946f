"""The only printer of results: one JSON document, or words. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from typer.exceptions import TyperException

from cli.terminal import visible
from cli.words import align, in_environment
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


def next_step(command: str, why: str = "", environment: str = "local") -> None:
    """The last line of a command: what to type next, on that environment."""
    say(in_environment(f"Next: {command}" + (f"   ({why})" if why else ""), environment))


def complain(text: str) -> None:
    print(visible(text), file=sys.stderr, flush=True)


NEXT = {
    1: "type the same command again; `ecomdeploy doctor` looks at what it needs",
    2: "mend that and type the same command again",
    3: "wait until that has ended, then type the same command again",
    4: "`ecomdeploy status` says what serves, `ecomdeploy releases` what became of each release",
    5: "mend what it says, then type the same command again: what was done already stays",
    6: "`ecomdeploy releases` tells who refused and why",
}
"""What to type after an error that does not say it, by its exit code."""


def error(error: EcomdeployError, as_json: bool) -> None:
    """What happened, where, and what to type next; as data when data was asked for."""
    what, more = str(error), {}
    if isinstance(error, BadInput):
        more["problems"] = [
            {"what": problem.what, "where": problem.where, "path": problem.path, "hint": problem.hint}
            for problem in error.problems
        ]
    # A line that is indented goes with the one above it: the rows of a broken rule, the figures of a refusal.
    count = sum(not line.startswith(" ") for line in what.splitlines())
    words = f"Error: {what}" if count < 2 else f"{count} errors:\n{what}"
    told = error.hint or any(problem["hint"] for problem in more.get("problems", ()))
    _end(what, error.hint if told else NEXT.get(error.exit_code, ""), error.exit_code, as_json, words, more)


def usage(problem: TyperException, as_json: bool) -> None:
    """A mistyped command line."""
    context = getattr(problem, "ctx", None)
    hint = f"{context.command_path if context else 'ecomdeploy'} --help"
    _end(problem.format_message(), hint, 2, as_json)


GOING_ON = {
    "up": "what serves, if anything does, keeps serving; the same command again goes on from here",
    "rollback": "what serves keeps serving; `ecomdeploy status` says which release that is",
    "down": "the same command again goes on from here",
    "recover": "the same command again goes on from here",
    "platform up": "the same command again goes on from here",
    "platform down": "the same command again goes on from here",
}
"""What holds after each verb was interrupted; the others leave nothing half-done that is to be told."""


def say_interrupted(as_json: bool, verb: str = "") -> None:
    """Ctrl-C or SIGTERM: say what is now. `verb`: the first words of the command line, one or two."""
    told = GOING_ON.get(verb) or GOING_ON.get(verb.partition(" ")[0])
    text = f"interrupted: {told}" if told else "interrupted"
    _end(text, "", 130, as_json, text)


MACHINE = {
    errno.ENOSPC: "no space is left there: make room",
    errno.EDQUOT: "the quota there is used up: make room",
    errno.EROFS: "nothing can be written there: it is mounted read-only",
    errno.EACCES: "this user may not: change its owner or mode",
    errno.EPERM: "this user may not: change its owner or mode",
    errno.EMFILE: "too many files are open: raise `ulimit -n`",
    errno.ENOTDIR: "what stands there is no folder",
    errno.EIO: "the disk does not answer as it should",
}


def machine(error: OSError, as_json: bool, homes: Sequence[Path] = ()) -> bool:
    """The machine's own refusal, with the path. False: it is something else. `homes`: the user's folders of ours."""
    own = bool(error.filename) and any(is_on_the_way(Path(str(error.filename)), each) for each in homes)
    if error.errno not in MACHINE and not (own and error.errno == errno.ENOENT):
        return False
    where = f": {error.filename}" if error.filename else ""
    words = MACHINE.get(error.errno or 0, "no folder can be made there")
    if not error.filename and error.errno in (errno.EACCES, errno.EPERM):
        words = "this user may not"  # open a port, end a process: no file has an owner to change
    if own:
        words = f"{words}; or choose another home for what ecomdeploy keeps (ECOMDEPLOY_HOME=FOLDER)"
    hint = f"{words}; then type the same command again"
    _end(f"{os.strerror(error.errno)}{where}", hint, 1, as_json)
    return True


def is_on_the_way(path: Path, folder: Path) -> bool:
    """Whether the path is the folder, in it, or one of those that it lies in."""
    return path.is_relative_to(folder) or folder.is_relative_to(path)


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
