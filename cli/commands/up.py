"""`ecomdeploy up`: make what the spec asks for live."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import options, progress, show, wiring
from cli.words import changes_in_words, describe_place, verdict
from modelpack.progress import tell_size


def up(
    environment: options.Environment = "local",
    folder: options.Folder = Path(),
    yes: options.Yes = False,
    as_json: options.AsJson = False,
    again: Annotated[bool, typer.Option(help="Ship a pack although it failed or was rolled back.")] = False,
    refresh: Annotated[bool, typer.Option(help="Read everything back from the cloud first.")] = False,
    regate: Annotated[bool, typer.Option(help="Measure the optimization passes anew.")] = False,
    events: options.Events = None,
    source: options.Source = None,
    source_role: options.SourceRole = None,
    adopt: Annotated[
        bool, typer.Option(help="Take over what another project made under these names.")
    ] = False,
    plan: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Do what `plan --out FILE` said, and nothing else.")
    ] = None,
    override: Annotated[
        str, typer.Option(metavar="REASON", help="Ship although rollouts are frozen; the history keeps why.")
    ] = "",
    await_approval: Annotated[
        bool, typer.Option("--await-approval", help="Make it, and move traffic once somebody approves it.")
    ] = False,
    approval_minutes: Annotated[
        float, typer.Option(min=1, max=10080, help="How long to wait for that.")
    ] = 60,
) -> None:
    """Train, pack, push, provision, shift traffic, verify. Nothing changed: nothing is called."""
    from cli.record.live import let_watch
    from stacks import ship
    from stacks.terms.bound_plan import read_plan

    spec = wiring.load_spec(folder, environment)
    if spec.environment.cloud != "local":
        options.confirm(f"Ship {spec.service} to {describe_place(spec)}?", yes, careful=True)
    planned = read_plan(plan) if plan else None
    deps = let_watch(wiring.collaborators(folder, spec, progress.choose()), events)
    deps = wiring.promote(folder, deps, source, source_role or "") if source else deps
    with wiring.point_at_lines(folder, environment):
        done = ship.up(
            deps,
            spec,
            again=again,
            refresh=refresh,
            regate=regate,
            override=override,
            approval=approval_minutes if await_approval else None,
            adopt=adopt,
            planned=planned,
        )
    if as_json:
        show.document({**done.document(), "record": wiring.record_of(done)})
        return
    show.say(verdict(done))
    if done.changes:
        show.say(f"Changed: {changes_in_words(done.changes)}; pushed {tell_size(done.pushed_bytes)}.")
    for note in done.notes:
        show.say(f"  {note}")
    back = "`ecomdeploy rollback`, " if deps.ledger.find_previous() else ""
    show.next_step("ecomdeploy predict", f"or {back}`ecomdeploy down`", environment)
