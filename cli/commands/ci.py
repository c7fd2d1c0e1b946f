"""`ecomdeploy ci ...`: pipelines that ship what was rehearsed, and the comment that they write."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from cli import options, show
from modelpack.errors import BadInput, EcomdeployError

Staging = Annotated[str, typer.Option(metavar="ENV", help="Ships first, on every merge.")]
Production = Annotated[str, typer.Option(metavar="ENV", help="Takes what was proven there, when approved.")]


def application() -> typer.Typer:
    """The sub-commands."""
    app = options.group("Pipelines: write them, compare them, comment a plan.")
    app.command("init")(init)
    app.command("check")(check)
    app.command("comment")(comment)
    app.command("policy")(policy)
    return app


def init(
    provider: Annotated[
        str, typer.Argument(help="github, gitlab, codepipeline, jenkins, pulumi; roles: its roles.")
    ],
    staging: Staging = "staging",
    production: Production = "prod",
    folder: options.Folder = Path(),
    force: Annotated[bool, typer.Option(help="Write over files that differ.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Write a pipeline for every service of this repository."""
    from cli.ci.pipelines import check_provider, find_root, find_services, render, write

    check_provider(provider)
    root = find_root(folder)
    written = write(render(provider, find_services(root, staging, production), root), force)
    names = [one.relative_to(root).as_posix() for one in written]
    if as_json:
        show.document({"root": str(root), "files": names})
        return
    show.say(f"Wrote {', '.join(names)}." if names else "Everything is there already, and the same.")
    if provider == "roles":
        show.next_step(
            "aws cloudformation deploy, once for each environment", "docs/ci.md has the whole line"
        )
    else:
        show.next_step("git add, commit, push", "docs/ci.md: roles and settings that it needs")


def check(folder: options.Folder = Path(), as_json: options.AsJson = False) -> None:
    """Tell what differs from what `init` would write today."""
    from cli.ci.pipelines import differences, find_root, find_services, find_written, render

    root = find_root(folder)
    pipelines = find_written(root)
    if not pipelines:
        raise BadInput(f"{root} has no pipeline that ecomdeploy wrote", hint="ecomdeploy ci init github")
    found = {
        again: list(differences(render(again[0], find_services(root, *again[1:]), root), root))
        for again in pipelines
    }
    texts = [text for each in found.values() for text in each]
    if as_json:
        show.document({"differences": texts})
    else:
        show.say(
            "\n".join(texts) if texts else f"{len(pipelines)} there, as `ecomdeploy ci init` writes it today."
        )
    if texts and not as_json:
        name, staging, production = next(again for again, each in found.items() if each)
        words = f"ecomdeploy ci init {name} --staging {staging} --production {production} --force"
        raise EcomdeployError(
            "the pipeline is not what `ci init` writes today",
            hint=f"{words}, or keep the difference and leave this check out",
        )
    if texts:
        raise typer.Exit(1)


def comment(
    files: Annotated[list[Path], typer.Argument(metavar="PLAN...", help="Files of `plan --out`.")],
    publish: Annotated[
        bool, typer.Option("--post", help="On this pull or merge request, in place of the last.")
    ] = False,
) -> None:
    """Say plans in Markdown, or write them under a pull or merge request."""
    from cli.ci.comments import describe, find_discussion, post
    from stacks.terms.bound_plan import read_plan

    text = describe([read_plan(one) for one in files])
    if not publish:
        show.say(text)
        return
    import httpx

    place = find_discussion(os.environ)
    with httpx.Client(timeout=60) as client:
        show.say(f"Comment {post(client, place, text)} tells the plan.")


def policy(
    environment: options.Environment = "local",
    folder: options.Folder = Path(),
    task: Annotated[
        str,
        typer.Option(
            "--for", metavar="TASK", help="plan, deploy, remove (also the base), platform-plan or platform."
        ),
    ] = "deploy",
) -> None:
    """The IAM policy of whoever does that for one service, or its platform: what the stacks call, on their own."""
    from cli.ci.policy import list_tasks, write_policy
    from cli.wiring import load_spec

    if task not in list_tasks():
        raise BadInput(f"unknown task {task!r}", hint=f"one of: {', '.join(list_tasks())}")
    show.document(write_policy(load_spec(folder, environment), task))
