"""`ecomdeploy approve`: say yes or no to a release that waits for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import options, show, wiring
from cli.who import who


def approve(
    number: Annotated[int, typer.Argument(metavar="N", help="Which release.")],
    environment: options.EnvironmentOption = "local",
    folder: options.Folder = Path(),
    as_json: options.AsJson = False,
    refuse: Annotated[bool, typer.Option("--refuse", help="Say no: it gets no traffic.")] = False,
    why: Annotated[str, typer.Option(help="A reason for the history.")] = "",
) -> None:
    """Approve a release that `up --await-approval` has made, from any machine with access to the records."""
    from stacks.terms.approval import answer

    spec = wiring.load_spec(folder, environment)
    given = answer(wiring.ledger(folder, spec), number, who(), approved=not refuse, why=why)
    if as_json:
        show.document(
            {
                "release": number,
                "approved": given.approved,
                "by": given.by,
                "why": given.why,
                "at": given.at,
                "asked_by": given.asked_by,
            }
        )
        return
    show.say(f"{spec.name}: release {number} is {given.words}.")
    show.next_step(
        "ecomdeploy releases",
        "whoever waits for it goes on within seconds, or with the next `up`",
        environment,
    )
