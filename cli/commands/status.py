"""`ecomdeploy status`: what serves now, verified through the route."""

from __future__ import annotations

from pathlib import Path

import typer

from cli import local, options, progress, show, wiring
from cli.words import verdict


def status(
    environment: options.Environment = "local",
    folder: options.Folder = Path(),
    as_json: options.AsJson = False,
) -> None:
    """Ask the endpoint itself: which release it is on, its image digest, golden requests."""
    from stacks import ship

    spec = wiring.load_spec(folder, environment)
    found = ship.status(wiring.collaborators(folder, spec, progress.choose()), spec)
    isolation = local.isolation(spec)
    if as_json:
        show.document({**found.document(), "isolation": isolation})
    else:
        show.say(verdict(found))
        if found.release:
            show.say(f"  image      {found.release.image}")
            on = f"{found.endpoint} on {found.release.serving.instance}" if found.endpoint else "none"
            show.say(f"  endpoint   {on}")
            show.say(f"  driver     {found.driver}")
        if isolation and found.endpoint:
            show.say(f"  isolation  {isolation} (local cloud)")
        for note in found.notes:
            show.say(f"  note       {note}")
        for problem in found.problems if found.release else ():  # else they are the verdict
            show.say(f"  problem    {problem}")
        if found.verified or not found.hint:
            show.next_step(
                "ecomdeploy predict" if found.verified else "ecomdeploy up", environment=environment
            )
        else:
            show.next_step(found.hint, environment=environment)
    if found.release is not None and found.endpoint and not found.verified:
        raise typer.Exit(4)
