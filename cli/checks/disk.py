"""Room for wheels, images and unpacked layers."""

from __future__ import annotations

import os
import shutil

from cli.checks.base import CheckContext, Finding

NEEDED = 4e9
"""Bytes: packages, three releases, their unpacked images and the training data together stay below this."""


def check(context: CheckContext) -> Finding:
    place = context.home.root
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK):
        what = f"this user may not write to {place}"
        return Finding(
            "disk", "failure", what, "change its owner or mode, or set ECOMDEPLOY_HOME to another folder"
        )
    free = shutil.disk_usage(place).free
    message = f"{free / 1e9:.1f} GB free at {context.home.root}"
    if free >= NEEDED:
        return Finding("disk", "ok", message)
    return Finding("disk", "failure", message, "free some, or set ECOMDEPLOY_HOME to a larger disk")
