"""`ecomdeploy rollback`: put an earlier release back, as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import options, progress, show, wiring
from cli.words import verdict


def rollback(
    number: Annotated[
        int | None, typer.Argument(metavar="[N]", help="Which release; default: the one before.")
    ] = None,
    environment: options.EnvironmentOption = "local",
    folder: options.Folder = Path(),
    yes: options.Yes = False,
    as_json: options.AsJson = False,
    events: options.Events = None,
    why: Annotated[str, typer.Option(help="A reason for the history.")] = "",
) -> None:
    """Put the release before back, or release N: the same bytes, nothing built, nothing pushed."""
    from cli.record.live import let_watch
    from stacks import ship

    spec = wiring.load_spec(folder, environment)
    if spec.environment.cloud != "local":
        options.confirm(f"Put the traffic of {spec.name} back on an earlier release?", yes, careful=True)
    deps = let_watch(wiring.collaborators(folder, spec, progress.choose()), events)
    done = ship.rollback(deps, spec, number, why=why)
    if as_json:
        show.document({**done.document(), "record": wiring.record_of(done)})
        return
    show.say(verdict(done))
    show.next_step("ecomdeploy releases", "the history", environment)
