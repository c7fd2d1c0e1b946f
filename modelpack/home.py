"""Where files live that belong to the user, not to one project, the lock by which processes take turns there, and
how small files are written whole."""

from __future__ import annotations

import fcntl
import os
import secrets
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from modelpack.errors import Locked

DURABLE = "ecomdeploy.durable"
A_MOMENT, TURN_SECONDS = 20.0, 0.02
"""Seconds that a small write may take on a slow disk, and between two tries to be the next who writes."""


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
    with _open_lock(file) as opened:
        if not _try_lock(opened):
            on_wait()
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield


@contextmanager
def hold_lock_briefly(file: Path, patience: float = A_MOMENT) -> Iterator[None]:
    """As `hold_lock`, for what takes no time, such as one small file written.

    Raises:
        Locked: another process has held it for `patience` seconds, so it stands still.
    """
    until = time.monotonic() + patience
    with _open_lock(file) as opened:
        while not _try_lock(opened):
            if time.monotonic() > until:
                raise Locked(
                    f"{file}: another process has held this for {patience:g} s and does not go on; it may be stopped"
                    f" (Ctrl-Z: type `fg` there) or in a debugger. `fuser {shlex.quote(str(file))}` names it"
                )
            time.sleep(TURN_SECONDS)
        yield


def _open_lock(file: Path) -> IO[bytes]:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file.open("ab")


def _try_lock(opened: IO[bytes]) -> bool:
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def name_file(path: Path) -> Iterator[None]:
    """Where `path` is written: an error that tells no file, as that of a write to a full disk does, tells this one."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def write_atomically(path: Path, data: bytes, *, private: bool = False, durable: bool = False) -> None:
    """Readers see the old content or the new, also when this process is killed; a `durable` write survives a power cut
    too. Of a `private` file, and of folders made for it, nobody else may read."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700 if private else 0o777)
    part = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
    try:
        with name_file(path), open(descriptor, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(descriptor)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent, of=path)


def sync_folder(folder: Path, of: Path | None = None) -> None:
    """What was renamed or removed in the folder is so after a power cut too: all of it, or what is known to be (`of`).

    Told to who listens to audits (PEP 578) as DURABLE.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        with name_file(folder):
            os.fsync(handle)
    finally:
        os.close(handle)
    sys.audit(DURABLE, str(of or folder))
