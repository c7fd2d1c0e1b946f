"""`ecomdeploy releases`: the history."""

from __future__ import annotations

from pathlib import Path

from cli import options, show, wiring


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
            f"restores {one.restores}" if one.restores else "",
            one.created,
            one.cause[:100],
        ]
        for one in history
    ]
    show.table(("release", "state", "image", "", "created", "cause"), rows)
    show.next_step("ecomdeploy rollback [N]", "puts an earlier one back")
