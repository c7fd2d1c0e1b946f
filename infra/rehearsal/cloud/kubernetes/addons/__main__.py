"""`python -m infra.rehearsal.cloud.kubernetes.addons [NAME ...]`: fill the user's cache. Needs no package."""

from __future__ import annotations

import sys

from infra.rehearsal.cloud.kubernetes.addons.source import SOURCES
from infra.rehearsal.cloud.kubernetes.build import can_build, find_cache
from modelpack.progress import Silent

if __name__ == "__main__":
    for one in SOURCES:
        if one.name in (sys.argv[1:] or [one.name]):
            print(one.build(find_cache(), Silent()) if can_build() else f"no go: {one.title} is not built")
