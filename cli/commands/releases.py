"""`ecomdeploy releases`: the history."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from cli import options, show, wiring

if TYPE_CHECKING:
    from stacks.records.release import Release


def releases(
    environment: options.Environment = "local",
    folder: options.Folder = Path(),
    as_json: options.AsJson = False,
) -> None:
    """List every release with its state, digest and, where it did not stay, the cause."""
    spec = wiring.load_spec(folder, environment)
    history = wiring.ledger(folder, spec).releases()
    if as_json:
        show.document(
            [
                {
                    "number": one.number,
                    "restores": one.restores,
                    "state": str(one.state),
                    "image": one.image,
                    "created": one.created,
                    "cause": one.cause,
                    "who": one.who,
                    "why": one.why,
                    "proven": asdict(one.pack.proven) if one.pack.proven else None,
                    "timeline": [
                        {"state": str(at.state), "at": at.at, "cause": at.cause} for at in one.timeline
                    ],
                }
                for one in history
            ]
        )
        return
    if not history:
        show.say(f"{spec.name} has no releases yet.")
        show.next_step("ecomdeploy up")
        return
    rows = [
        [
            str(one.number),
            str(one.state),
            one.image.rpartition("@")[2][:19],
            origin(one),
            one.created,
            one.cause[:100],
        ]
        for one in history
    ]
    show.table(("release", "state", "image", "", "created", "cause"), rows)
    show.next_step("ecomdeploy rollback [N]", "puts an earlier one back")


def origin(release: Release) -> str:
    """Where what it serves comes from, when it was not packed for it."""
    if release.restores:
        return f"restores {release.restores}"
    proven = release.pack.proven
    return f"from {proven.environment} {proven.release}" if proven else ""
