"""Whether the real Pulumi CLI is there. It is not needed for the local cloud."""

from __future__ import annotations

import shutil

from cli.checks.base import CheckContext, Finding


def check(context: CheckContext) -> Finding:
    found = shutil.which("pulumi")
    if found:
        return Finding(
            "pulumi", "ok", f"{found}; used for `cloud: aws`, the embedded engine for `cloud: local`"
        )
    return Finding(
        "pulumi", "ok", "no Pulumi CLI: the embedded engine serves `cloud: local`; `cloud: aws` needs the CLI"
    )
