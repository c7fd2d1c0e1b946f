"""`ecomdeploy up`: make what the spec asks for live."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import options, progress, show, wiring
from cli.words import changes_in_words, verdict


def up(
    environment: options.Environment = "local",
    folder: options.Folder = Path(),
    yes: options.Yes = False,
    as_json: options.AsJson = False,
    again: Annotated[bool, typer.Option(help="Ship a pack although it failed or was rolled back.")] = False,
    refresh: Annotated[bool, typer.Option(help="Read everything back from the cloud first.")] = False,
    regate: Annotated[bool, typer.Option(help="Measure the optimization passes anew.")] = False,
    source: options.Source = None,
    source_role: options.SourceRole = None,
    plan: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Do what `plan --out FILE` said, and nothing else.")
    ] = None,
    override: Annotated[
        str, typer.Option(metavar="REASON", help="Ship although rollouts are frozen; the history keeps why.")
    ] = "",
) -> None:
    """Train, pack, push, provision, shift traffic, verify. Nothing changed: nothing is called."""
    from stacks import ship
    from stacks.terms.bound_plan import read_plan

    spec = wiring.load_spec(folder, environment)
    if spec.environment.cloud == "aws":
        options.confirm(f"Ship {spec.service} to AWS account {spec.environment.account}?", yes, careful=True)
    planned = read_plan(plan) if plan else None
    deps = wiring.collaborators(folder, spec, progress.choose())
    deps = wiring.promote(folder, deps, source, source_role or "") if source else deps
    with wiring.point_at_lines(folder, environment):
        done = ship.up(
            deps, spec, again=again, refresh=refresh, regate=regate, override=override, planned=planned
        )
    if as_json:
        show.document({**done.document(), "record": wiring.record_of(done)})
        return
    show.say(verdict(done))
    if done.changes:
        show.say(f"Changed: {changes_in_words(done.changes)}; pushed {show.megabytes(done.pushed_bytes)}.")
    for note in done.notes:
        show.say(f"  {note}")
    show.next_step("ecomdeploy predict", "or `ecomdeploy rollback`, `ecomdeploy down`")
