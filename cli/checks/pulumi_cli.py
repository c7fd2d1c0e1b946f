"""The real Pulumi CLI and its AWS plugin: there, and of versions that go with our packages.

Neither is needed for the local cloud, unless ECOMDEPLOY_DRIVER=pulumi asks for them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from importlib.metadata import version
from typing import Any

from cli.checks.base import CheckContext, Finding

NAME = "pulumi"
SECONDS = 60
QUIET = {"PULUMI_SKIP_UPDATE_CHECK": "true"}


def check(context: CheckContext) -> Finding:
    found = shutil.which("pulumi")
    if not found:
        words = "no Pulumi CLI: the embedded engine serves `cloud: local`; `cloud: aws` needs the CLI"
        return Finding(NAME, severity(), words, "https://www.pulumi.com/docs/install/")
    try:
        said = ask(found, "version").strip().removeprefix("v")
        plugins = json.loads(ask(found, "plugin", "ls", "--json"))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return Finding(NAME, severity(), f"{found} does not answer: {error}", f"{found} version")
    return judge(found, said, plugins)


def judge(found: str, said: str, plugins: list[dict[str, Any]]) -> Finding:
    """What `pulumi version` and `pulumi plugin ls --json` say, against our packages."""
    ours, wanted = version("pulumi"), version("pulumi-aws")
    if said.partition(".")[0] != ours.partition(".")[0]:
        words = f"{found} is {said}, and the Python package pulumi is {ours}"
        return Finding(
            NAME, severity(), words, f"install {ours}: https://www.pulumi.com/docs/install/versions/"
        )
    there = sorted(
        str(each.get("version") or "").removeprefix("v")
        for each in plugins
        if (each.get("name"), each.get("kind")) == ("aws", "resource")
    )
    if wanted not in there:
        words = f"{found} {said}, without the plugin aws {wanted} ({', '.join(there) or 'none'} is there)"
        return Finding(NAME, severity(), words, f"pulumi plugin install resource aws {wanted}")
    words = (
        f"{found} {said}, plugin aws {wanted}; used for `cloud: aws`, the embedded engine for `cloud: local`"
    )
    return Finding(NAME, "ok", words)


def severity() -> Any:
    """A lack is a failure only for whoever asked for the CLI; for all others it is a fact."""
    return "failure" if os.environ.get("ECOMDEPLOY_DRIVER") == "pulumi" else "ok"


def ask(found: str, *words: str) -> str:
    return subprocess.run(
        [found, *words],
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS,
        env={**os.environ, **QUIET},
    ).stdout
