"""Where files live that belong to the user, not to one project, and the lock by which processes take turns there."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Home:
    """Pure paths; nothing is created.

    `root` holds state (images, packs, the local cloud); `cache` holds only what can be fetched or built again.

    The command line chooses both (`ECOMDEPLOY_HOME`, `ECOMDEPLOY_CACHE`, else the platform's user folders).
    """

    root: Path
    cache: Path

    @property
    def images(self) -> Path:
        """One OCI image layout that holds every image built here, blobs shared."""
        return self.root / "images"

    @property
    def packs(self) -> Path:
        """`<input digest>.json`: what was packed from which inputs."""
        return self.root / "packs"

    @property
    def locked(self) -> Path:
        """Verdicts and locked packages, by what they hold for."""
        return self.root / "locked"

    @property
    def cloud(self) -> Path:
        """State, logs and unpacked images of the local cloud."""
        return self.root / "cloud"

    @property
    def downloads(self) -> Path:
        """Debian packages, wheels and data packages, each file named by its sha256 or checked against it."""
        return self.cache / "downloads"

    @property
    def models(self) -> Path:
        """Trained models by input digest, prepared data."""
        return self.cache / "models"


@contextmanager
def hold_lock(file: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold `file`, made where it is not there; `on_wait` is called first where another process holds it.

    The kernel lets go of it when its holder dies.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield
