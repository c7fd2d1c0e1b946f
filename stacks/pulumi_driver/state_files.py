"""The state's files on disk, for the real CLI.

Its file backend writes `<file>.attrs` beside each file, not atomically: a CLI that is killed there leaves half of one,
and then no command reads the state any more ("failed to load checkpoint: EOF"). They hold nothing that is needed.
"""

from __future__ import annotations

import json
from pathlib import Path

from modelpack.progress import Progress

WITHOUT_ATTRIBUTES = "?metadata=skip"
"""Behind a file:// backend's URL: write none (gocloud.dev/blob/fileblob, `URLOpener`)."""


def backend_url(backend: str) -> str:
    """The URL that the CLI is given."""
    return backend + WITHOUT_ATTRIBUTES if backend.startswith("file://") and "?" not in backend else backend


def mend_attributes(folder: Path, progress: Progress) -> None:
    """Remove the damaged ones below `folder`, and say so."""
    for file in sorted((folder / ".pulumi").rglob("*.attrs")):
        try:
            whole = isinstance(json.loads(file.read_bytes()), dict)
        except ValueError:
            whole = False
        except FileNotFoundError:  # another command has just removed it
            continue
        if not whole:
            file.unlink(missing_ok=True)
            progress.note(f"removed {file.name}: an interrupted run of the Pulumi CLI left half of it")
