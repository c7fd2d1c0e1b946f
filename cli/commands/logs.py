"""`ecomdeploy logs`: what the model servers of a release wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import options, show, wiring


def logs(
    environment: options.Environment = "local",
    folder: options.Folder = Path(),
    as_json: options.AsJson = False,
    release: Annotated[int | None, typer.Option(help="Which release; default: the live one.")] = None,
    lines: Annotated[int, typer.Option(min=1, max=10_000, help="How many, from the end.")] = 50,
) -> None:
    """Show the last lines that its model servers wrote, one JSON object each."""
    spec = wiring.load_spec(folder, environment)
    wanted = wiring.find_release(folder, spec, release, "; or of an earlier one: ecomdeploy logs --release N")
    if kept := wiring.ledger(folder, spec).kept_log(wanted.number):
        found = kept[-lines:]
    elif spec.environment.cloud == "local" and not wiring.is_on_cluster(spec):
        found = local(wanted.pack.digest, spec.name, lines)
    else:
        found = wiring.traffic(spec).logs(spec.name, lines)
    if as_json:
        show.document({"release": wanted.number, "lines": found})
        return
    for line in found:
        show.say(line)


def local(digest: str, endpoint: str, lines: int) -> list[str]:
    """From the local cloud's files, which are named by the image's digest; the newest server's last."""
    files = wiring.local_cloud().find_logs(digest.removeprefix("sha256:")[:8], endpoint)
    return [line for file in files for line in file.read_text(errors="replace").splitlines()][-lines:]
