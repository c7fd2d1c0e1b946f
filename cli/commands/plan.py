"""`ecomdeploy plan`: what `up` would do. It never trains, builds or changes anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options, progress, show, wiring
from cli.words import changes_in_words, list_changes

if TYPE_CHECKING:
    from stacks.plan import Plan

CHANGES = 10
"""What `plan --exit-code` ends with when `up` would act."""


def plan(
    environment: options.Environment = "local",
    folder: options.Folder = Path(),
    as_json: options.AsJson = False,
    source: options.Source = None,
    source_role: options.SourceRole = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it down for `up --plan FILE`.")
    ] = None,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 10 when `up` would act.")] = False,
) -> None:
    """Say what would change, before it does."""
    from stacks.plan import plan as look
    from stacks.terms.bound_plan import write_plan

    spec = wiring.load_spec(folder, environment)
    deps = wiring.collaborators(folder, spec, progress.choose(quiet=as_json))
    deps = wiring.promote(folder, deps, source, source_role or "") if source else deps
    with wiring.point_at_lines(folder, environment):
        found = look(deps, spec)
    if out is not None:
        write_plan(out, found)
    if as_json:
        show.document(found.document())
    else:
        tell(found)
        show.next_step(*next_step(found, out, source), environment)
    if exit_code and found.has_work:
        raise typer.Exit(CHANGES)


def next_step(found: Plan, out: Path | None, source: str | None) -> tuple[str, str]:
    """What to type next, and why; with a `source` the same promotion."""
    if found.hint:
        return found.hint, ""
    if not found.has_work:
        return "ecomdeploy status", "nothing is to be done"
    promoted = f" --from {source}" if source else ""
    return f"ecomdeploy up{promoted}{f' --plan {out}' if out else ''}", ""


def tell(found: Plan) -> None:
    """A plan in words."""
    spec = found.spec
    if found.changes:
        show.table(("change", "type", "name", "what differs"), list_changes(found.changes))
    nothing = "the number of replicas would change" if found.replicas else "nothing would change"
    show.say(
        f"{spec.name}: {changes_in_words(found.changes) if found.changes else nothing} ({found.driver})."
    )
    for line in found.notes:
        show.say(f"  {line}")
