"""`ecomdeploy platform ...`: network, cluster and GPU pools of an environment, shared by its services."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options, progress, show, wiring
from cli.words import changes_in_words, list_changes

if TYPE_CHECKING:
    from stacks.collaborators import Collaborators
    from stacks.platform import PlatformOutcome
    from stacks.spec import Spec


def application() -> typer.Typer:
    """The sub-commands."""
    app = options.group("Network, cluster and GPU pools of an environment.")
    for name, command in (("plan", plan), ("up", up), ("down", down)):
        app.command(name)(options.for_environment(command))
    return app


def plan(
    environment: options.Environment = "local",
    folder: options.Folder = Path(),
    as_json: options.AsJson = False,
) -> None:
    """What `platform up` would change, read against what is really there."""
    from stacks import platform

    spec, told = wiring.load_spec(folder, environment), progress.choose(quiet=as_json)
    done = platform.plan(wiring.collaborators(folder, spec, told), spec)
    if not as_json and done.changes:
        show.table(("change", "type", "name", "what differs"), list_changes(done.changes))
    if sum_up(done, "nothing would change", as_json):
        if done.changes:
            show.next_step(done.hint or "ecomdeploy platform up", environment=environment)
        else:
            show.next_step("ecomdeploy plan", "nothing is to be done here", environment)


def up(
    environment: options.Environment = "local",
    folder: options.Folder = Path(),
    yes: options.Yes = False,
    as_json: options.AsJson = False,
    adopt: Annotated[
        bool, typer.Option(help="Take over what another project made under these names.")
    ] = False,
) -> None:
    """Provision it."""
    from stacks import platform

    agreed = agree(f"Provision the platform of {environment}?", folder, environment, yes)
    done = platform.up(*agreed, adopt=adopt)
    if sum_up(done, "nothing to do", as_json):
        for name, value in done.outputs.items():
            show.say(f"  {name:16} {value}")
        show.next_step(
            "ecomdeploy platform plan", "sees what changed since, also by other hands", environment
        )


def down(
    environment: options.Environment = "local",
    folder: options.Folder = Path(),
    yes: options.Yes = False,
    as_json: options.AsJson = False,
    shared: Annotated[bool, typer.Option("--shared", help="Although other services use it too.")] = False,
) -> None:
    """Remove all of it. Twice is fine."""
    from stacks import platform

    agreed = agree(f"Remove the platform of {environment}?", folder, environment, yes)
    done = platform.down(*agreed, shared=shared)
    sum_up(done, "was not there", as_json)


def agree(question: str, folder: Path, environment: str, yes: bool) -> tuple[Collaborators, Spec]:
    """The user's yes, and what the verb works with."""
    spec = wiring.load_spec(folder, environment)
    options.confirm(question, yes, careful=spec.environment.cloud != "local")
    return wiring.collaborators(folder, spec, progress.choose()), spec


def sum_up(done: PlatformOutcome, otherwise: str, as_json: bool) -> bool:
    """What changed, or `otherwise`, in one line or as data; whether a person reads it."""
    if as_json:
        show.document(done.document())
    else:
        words = changes_in_words(done.changes) if done.changes else otherwise
        show.say(f"Platform {done.environment}: {words}.")
        for note in done.notes:
            show.say(f"  Note: {note}")
    return not as_json
