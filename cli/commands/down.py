"""`ecomdeploy down`: take the service away."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import options, progress, show, wiring
from cli.words import verdict

LEFT = {
    "base": "the registry, bucket, key and role (stack {}): ecomdeploy down --all",
    "platform": "the platform (stack {}): ecomdeploy platform down",
}


def down(
    environment: options.Environment = "local",
    folder: options.Folder = Path(),
    yes: options.Yes = False,
    as_json: options.AsJson = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Also the platform, registry, bucket and keys.")
    ] = False,
) -> None:
    """Remove the endpoint and what its releases have; `--all` empties the account of this project. Twice is fine."""
    from stacks import ship

    spec = wiring.load_spec(folder, environment)
    what = "everything of" if everything else "the endpoint of"
    options.confirm(f"Remove {what} {spec.name}?", yes, careful=spec.environment.cloud == "aws")
    done = ship.down(wiring.collaborators(folder, spec, progress.choose()), spec, everything=everything)
    running = [LEFT[stack.split("/")[0]].format(stack) for stack in done.remaining]
    if spec.environment.cloud == "local":
        running.append("the local cloud itself: ecomdeploy cloud stop")
    if as_json:
        show.document({**done.document(), "still_running": running})
        return
    show.say(verdict(done))
    for line in running:
        show.say(f"Still there: {line}")
    show.next_step("ecomdeploy up", "brings it back")
