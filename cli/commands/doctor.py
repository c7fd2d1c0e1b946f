"""`ecomdeploy doctor`: look at the machine and the project before anything is shipped."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli import options, show, wiring
from cli.checks.base import CheckContext, examine
from cli.local import where_local_cloud

MARKS = {"ok": "ok  ", "warning": "warn", "failure": "FAIL"}


def doctor(
    cluster: Annotated[
        str | None,
        typer.Argument(metavar="[ENV]", help="Also the cluster of this environment (cloud: cluster)."),
    ] = None,
    folder: options.Folder = Path(),
    as_json: options.AsJson = False,
) -> None:
    """Check this machine and this project, and a cluster for it; every finding says what to type."""
    findings = tuple(examine(CheckContext(folder, wiring.home(), where_local_cloud)))
    if cluster:
        from cli.clusters import examine_cluster

        findings += tuple(examine_cluster(wiring.load_spec(folder, cluster), folder))
    if as_json:
        show.document([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            show.say(f"{MARKS[finding.severity]}  {finding.name:10} {finding.message}")
            if finding.remedy:
                show.say(f"      {'':10} -> {finding.remedy}")
    if any(finding.severity == "failure" for finding in findings):
        raise typer.Exit(1)
