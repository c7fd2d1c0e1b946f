"""`ecomdeploy recover`: the history of a service whose `.ecomdeploy/` is lost, from the records in its bucket."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import options, progress, show, wiring


def recover(
    environment: options.Environment = "local",
    folder: options.Folder = Path(),
    yes: options.Yes = False,
    as_json: options.AsJson = False,
    adopt: Annotated[bool, typer.Option(help="Also what another project made, which still stands.")] = False,
) -> None:
    """Rebuild a lost history from the release records in the bucket, and take over what is there."""
    from stacks.recover import recover as rebuild

    spec = wiring.load_spec(folder, environment)
    options.confirm(
        f"Take over what is there of {spec.name}?", yes, careful=spec.environment.cloud != "local"
    )
    done = rebuild(wiring.collaborators(folder, spec, progress.choose()), spec, adopt=adopt)
    if as_json:
        show.document(done.document())
        return
    live = f"release {done.live} is live" if done.live else "nothing is live"
    show.say(f"{spec.name}: {len(done.added)} releases recovered; {live}.")
    for line in done.found:
        show.say(f"  {line}")
    show.next_step("ecomdeploy status", environment=environment)
