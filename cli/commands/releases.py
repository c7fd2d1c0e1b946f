"""`ecomdeploy releases`: the history; `releases show N`: one release with all that is known of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from cli import options, show, wiring
from modelpack.errors import BadInput

if TYPE_CHECKING:
    from stacks.history.read import ReleaseStory
    from stacks.records.release import Release


class ListFirst(TyperGroup):
    """Without a verb of its own, or with an environment in its place, it is `list`."""

    def parse_args(self, context: Any, args: list[str]) -> list[str]:
        asks_help = bool(args) and args[0] == "--help"
        if not asks_help and (not args or args[0] not in self.commands):
            args = ["list", *args]
        return super().parse_args(context, args)


def application() -> typer.Typer:
    """The history and one release of it."""
    app = typer.Typer(cls=ListFirst, no_args_is_help=False, add_completion=False)
    app.callback()(describe)
    app.command("list")(options.for_environment(releases))
    app.command("show")(options.for_environment(show_release))
    return app


def describe() -> None:
    """The history: `releases [ENV]` lists it, `releases show N` tells all of one release."""


def releases(
    environment: options.Environment = "local",
    folder: options.Folder = Path(),
    as_json: options.AsJson = False,
) -> None:
    """List every release with its state, digest and, where it did not stay, the cause."""
    from cli.record.history import history_of

    spec = wiring.load_spec(folder, environment)
    history = history_of(folder, spec).releases()
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
        show.next_step("ecomdeploy up", environment=environment)
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
    show.next_step(
        "ecomdeploy releases show N",
        "all of one; `ecomdeploy rollback [N]` puts an earlier one back",
        environment,
    )


def show_release(
    number: Annotated[int, typer.Argument(metavar="N", help="Which release.")],
    environment: options.EnvironmentOption = "local",
    folder: options.Folder = Path(),
    as_json: options.AsJson = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Draw how its traffic moved, as one HTML file."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Its pack's report, as one HTML file.")
    ] = None,
) -> None:
    """Tell who made a release, from what, what was proven, how its traffic moved, and why it ended."""
    from cli.commands.pack import write_text
    from cli.record.history import history_of

    spec = wiring.load_spec(folder, environment)
    story = history_of(folder, spec).tell(number)
    if html is not None:
        from cli.record.timeline import release_page

        write_text(html, release_page(story))
    if report is not None:
        write_text(report, draw_report(story))
    if as_json:
        show.document(story.document())
        return
    tell(story)
    for file in filter(None, (html, report)):
        show.say(f"  drawn in {file}")
    if html is None:
        asked = f"ecomdeploy releases show {number} --html FILE"
        show.next_step(asked, "both releases around each step", environment)


def draw_report(story: ReleaseStory) -> str:
    """Raises BadInput: the record of its pack is not to be had."""
    from cli.record.report import report as drawn

    if story.pack is None:
        what = f"the record of the pack of release {story.release.number} is neither here nor in the bucket"
        raise BadInput(what, hint="on the machine that packed it: ecomdeploy pack --report FILE")
    return drawn(story.pack)


def tell(story: ReleaseStory) -> None:
    """In words: facts, then what was seen while its traffic moved."""
    from cli.record.facts import list_facts
    from cli.record.live import figures_of
    from stacks.rollout.events import EventKind

    release, record = story.release, story.rollout
    show.say(f"{release.service} in {release.environment}: release {release.number}")
    width = max(len(name) for name, _ in list_facts(story))
    for name, value in list_facts(story):
        show.say(f"  {name.ljust(width)}  {value}")
    if record and record.events:
        show.say()
        columns = ("when", "share", "requests", "failed", "p99 ms", "what was seen")
        rows = [
            [one.at[11:19], f"{one.share} %", *figures_of(one.new), one.words[:110]]
            for one in record.events
            if one.kind is not EventKind.LOOK
        ]
        show.table(columns, rows)


def origin(release: Release) -> str:
    """Where what it serves comes from, when it was not packed for it."""
    if release.restores:
        return f"restores {release.restores}"
    proven = release.pack.proven
    return f"from {proven.environment} {proven.release}" if proven else ""
