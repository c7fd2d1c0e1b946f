"""Options that many commands share, each said once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from modelpack.errors import BadInput

Environment = Annotated[str, typer.Argument(metavar="[ENV]", help="An environment of ecomdeploy.yaml.")]
Folder = Annotated[Path, typer.Option("--project", "-C", help="The folder of ecomdeploy.yaml.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else there.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]


def confirm(question: str, yes: bool) -> None:
    """Ask on a terminal; without one never ask, but want `--yes`.

    Raises:
        BadInput: there is no terminal and `--yes` was not given.
        typer.Exit: the answer was no.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise BadInput(f"{question} needs an answer, and this is not a terminal", hint="add --yes")
    if not typer.confirm(question, err=True):
        raise typer.Exit(0)
