"""Options that many commands share, each said once; and how a group of commands shows its help: in plain text, since
importing rich takes longer than all else that help needs."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cli import show
from cli.terminal import visible
from cli.words import in_environment
from modelpack.errors import BadInput, EcomdeployError

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

Events = Annotated[
    Path | None,
    typer.Option(
        "--events", metavar="FILE", help="Each event of the rollout as a line of JSON, as it happens."
    ),
]


def for_environment(command: Callable[..., None]) -> Callable[..., None]:
    """The command, the hints of its errors as they are typed for the environment that it was typed for."""

    @functools.wraps(command)
    def run(*given: Any, **options: Any) -> None:
        try:
            command(*given, **options)
        except EcomdeployError as error:
            error.hint = in_environment(error.hint, options.get("environment", "local"))
            raise

    return run


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


class CommandGroup(TyperGroup):
    """Its help has each command's first sentences whole; without a command it is shown, as what was asked for."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.get_short_help_str(limit=1000)) for name, one in commands if one])

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            show.say(ctx.get_help())
            raise typer.Exit(2)
        return super().parse_args(ctx, args)


def group(about: str) -> typer.Typer:
    """A group of sub-commands."""
    return typer.Typer(cls=CommandGroup, help=about)
