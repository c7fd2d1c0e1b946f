"""The model server's files, as the image holds them."""

from __future__ import annotations

from pathlib import Path

import modelpack

SERVED = ("__init__.py", "server/**/*.py")


def app() -> dict[str, Path]:
    """The server's files, by their path below the image's app folder."""
    own = Path(modelpack.__file__).parent
    files = {path for pattern in SERVED for path in own.glob(pattern)}
    return {f"modelpack/{path.relative_to(own).as_posix()}": path for path in sorted(files)}
