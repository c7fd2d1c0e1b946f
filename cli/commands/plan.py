"""`ecomdeploy plan`: what `up` would do. It never trains, builds or changes anything."""

from __future__ import annotations

from pathlib import Path

from cli import options, progress, show, wiring
from cli.words import changes_in_words, list_changes


def plan(
    environment: options.Environment = "local",
    folder: options.Folder = Path(),
    as_json: options.AsJson = False,
) -> None:
    """Say what would change, before it does."""
    from stacks.plan import plan as look

    spec = wiring.load_spec(folder, environment)
    with wiring.point_at_lines(folder, environment):
        found = look(wiring.collaborators(folder, spec, progress.choose(quiet=as_json)), spec)
    if as_json:
        show.document(found.document())
        return
    if found.changes:
        show.table(("change", "type", "name", "what differs"), list_changes(found.changes))
    show.say(
        f"{spec.name}: {changes_in_words(found.changes) if found.changes else 'nothing would change'} ({found.driver})."
    )
    for line in found.notes:
        show.say(f"  {line}")
    show.next_step("ecomdeploy up")
