"""Options that many commands share, each said once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.terminal import visible
from modelpack.errors import BadInput

Environment = Annotated[str, typer.Argument(metavar="[ENV]", help="An environment of ecomdeploy.yaml.")]
EnvironmentOption = Annotated[
    str, typer.Option("--environment", "-e", help="An environment of ecomdeploy.yaml.")
]
Folder = Annotated[Path, typer.Option("--project", "-C", help="The folder of ecomdeploy.yaml.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else there.")]
Source = Annotated[
    str | None,
    typer.Option("--from", metavar="ENV", help="Take what is live there, by digest; nothing is built."),
]
SourceRole = Annotated[
    str | None, typer.Option("--from-role", metavar="ARN", help="Assume this role to read there.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]


def confirm(question: str, yes: bool, *, careful: bool) -> None:
    """Ask on a terminal. Without one never ask: go on, unless it is `careful` business, which wants `--yes`.

    Raises:
        BadInput: careful, no terminal, and no `--yes`.
        typer.Exit: the answer was no.
    """
    if yes:
        return
    if sys.stdin.isatty() and sys.stderr.isatty():
        if not typer.confirm(visible(question), err=True):
            raise typer.Exit(0)
    elif careful:
        raise BadInput(f"{question} It needs an answer, and this is not a terminal", hint="add --yes")
