"""`ecomdeploy down`: take the service away."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from cli import options, progress, show, wiring
from cli.words import in_environment, verdict

LEFT = {
    "base": "the registry, bucket, key and role (stack {}): ecomdeploy down --all",
    "platform": "the platform (stack {}): ecomdeploy platform down",
}
LEFT_ON_CLUSTER = {"base": "the release records in the namespace: ecomdeploy down --all"}


def down(
    environment: options.Environment = "local",
    folder: options.Folder = Path(),
    yes: options.Yes = False,
    as_json: options.AsJson = False,
    service: Annotated[
        str | None, typer.Option(help="What the service was called before it was renamed.")
    ] = None,
    adopt: Annotated[bool, typer.Option(help="Also what another project made under this name.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Also the platform, registry, bucket and keys.")
    ] = False,
) -> None:
    """Remove the endpoint and what its releases have; `--all` empties the account of this project. Twice is fine."""
    from stacks import ship

    spec = wiring.load_spec(folder, environment)
    spec = replace(spec, service=service) if service else spec
    what = "everything of" if everything else "the endpoint of"
    whose = ", whoever made it" if adopt else ""
    options.confirm(f"Remove {what} {spec.name}{whose}?", yes, careful=spec.environment.cloud != "local")
    deps = wiring.collaborators(folder, spec, progress.choose())
    done = ship.down(deps, spec, everything=everything, former=service is not None, adopt=adopt)
    left = LEFT | (LEFT_ON_CLUSTER if spec.environment.cluster else {})
    running = [
        in_environment(left[stack.split("/")[0]].format(stack), environment) for stack in done.remaining
    ]
    if spec.environment.cloud == "local":
        running.append("the local cloud itself: ecomdeploy cloud stop")
    if as_json:
        show.document({**done.document(), "still_running": running})
        return
    show.say(verdict(done))
    for line in running:
        show.say(f"Still there: {line}")
    for note in done.notes:
        show.say(f"  {note}")
    if service:
        show.next_step("ecomdeploy status", "of the service as it is called now", environment)
        return
    marked = ", although its pack was rolled back or failed" if "--again" in done.hint else ""
    show.next_step(done.hint, f"brings it back{marked}", environment)
