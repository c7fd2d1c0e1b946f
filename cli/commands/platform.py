"""`ecomdeploy platform ...`: network, cluster and GPU pools of an environment, shared by its services."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli import options, progress, show, wiring
from cli.words import changes_in_words, list_changes

if TYPE_CHECKING:
    from stacks.platform import PlatformOutcome


def application() -> typer.Typer:
    """The sub-commands."""
    app = typer.Typer(no_args_is_help=True, help="Network, cluster and GPU pools of an environment.")
    app.command("plan")(plan)
    app.command("up")(up)
    app.command("down")(down)
    return app


def plan(
    environment: options.Environment = "local",
    folder: options.Folder = Path(),
    as_json: options.AsJson = False,
) -> None:
    """What `platform up` would change, read against what is really there."""
    from stacks import platform

    spec = wiring.load_spec(folder, environment)
    done = platform.plan(wiring.collaborators(folder, spec, progress.choose(quiet=as_json)), spec)
    if as_json:
        show.document(done.document())
        return
    if done.changes:
        show.table(("change", "type", "name", "what differs"), list_changes(done.changes))
    sum_up(done, "nothing would change")
    show.next_step("ecomdeploy platform up")


def up(
    environment: options.Environment = "local",
    folder: options.Folder = Path(),
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Provision it."""
    from stacks import platform

    spec = wiring.load_spec(folder, environment)
    options.confirm(f"Provision the platform of {environment}?", yes, careful=spec.environment.cloud == "aws")
    done = platform.up(wiring.collaborators(folder, spec, progress.choose()), spec)
    if as_json:
        show.document(done.document())
        return
    sum_up(done, "nothing to do")
    for name, value in done.outputs.items():
        show.say(f"  {name:16} {value}")
    show.next_step("ecomdeploy platform plan", "sees what changed since, also by other hands")


def down(
    environment: options.Environment = "local",
    folder: options.Folder = Path(),
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Remove all of it. Twice is fine."""
    from stacks import platform

    spec = wiring.load_spec(folder, environment)
    options.confirm(f"Remove the platform of {environment}?", yes, careful=spec.environment.cloud == "aws")
    done = platform.down(wiring.collaborators(folder, spec, progress.choose()), spec)
    if as_json:
        show.document(done.document())
        return
    sum_up(done, "was not there")


def sum_up(done: PlatformOutcome, otherwise: str) -> None:
    """One line: what changed, or `otherwise`."""
    show.say(f"Platform {done.environment}: {changes_in_words(done.changes) if done.changes else otherwise}.")
