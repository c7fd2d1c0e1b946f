"""The account on disk: one file, tied to moto's version and to the home's key.

    format 4, moto 5.2.5, Python 3.11
    <12 bytes><a pickle, see pickling.py, under AES-256-GCM; the first line is authenticated with it>

A pickle runs what it names. So a file is read only when this user owns it, nobody else may write to it, and it was
written with this home's key, which another user cannot read. The account may hold secrets: a copy of the file alone
tells none.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.rehearsal.cloud.daemon.pickling import (
    Pickled,
    check_readable,
    empty_account,
    pickle_account,
    unpickle_account,
)
from infra.rehearsal.cloud.own_files import read_own
from modelpack.errors import BadInput

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FORMAT = 4
NONCE = 12
READ_AGAIN_SECONDS = 60.0


class UnusableSnapshot(Exception):
    """The snapshot cannot be used; `str()` says why."""


def release() -> str:
    """What a snapshot is tied to."""
    return f"format {FORMAT}, moto {version('moto')}, Python {sys.version_info[0]}.{sys.version_info[1]}"


@dataclass
class ReadBack:
    """What snapshots were read back to see whether they can be: the kinds of objects in them, and when the last was.
    One of known kinds alone is read again only after a while: it takes as long as all that the calls take."""

    kinds: set[object] = field(default_factory=set)
    at: float = -READ_AGAIN_SECONDS

    def covers(self, pickled: Pickled) -> bool:
        return pickled.kinds <= self.kinds and time.monotonic() - self.at < READ_AGAIN_SECONDS

    def check(self, pickled: Pickled) -> None:
        """Raises whatever reading it raises."""
        check_readable(pickled.data)
        self.kinds |= pickled.kinds
        self.at = time.monotonic()


def dump(
    state: dict[str, Any], key: str, lock: AbstractContextManager[Any], read_back: ReadBack | None = None
) -> Pickled:
    """The file's content, and what could not be kept. `lock`: the account's, held while it is written, not while it is
    read back to see whether it can be, unless `read_back` covers it. Raises what pickle does."""
    read_back = read_back or ReadBack()
    with lock:
        pickled = pickle_account(state)
    try:
        if not read_back.covers(pickled):
            read_back.check(pickled)
    except Exception:
        with lock:
            pickled = pickle_account(state, each=True)
    return Pickled(_hide(release().encode(), pickled.data, key), pickled.left_out)


def load(path: Path, key: str) -> dict[str, Any]:
    """Fill moto's backends from the file and return the overlays' state; {} when there is no file.

    Raises:
        UnusableSnapshot: it is damaged, of another release of moto, Python or ourselves, or not this home's own. The
            file is moved aside, nothing was changed.
    """
    try:
        data = read_own(path)
    except FileNotFoundError:
        return {}
    except BadInput as problem:
        _put_aside(path)
        raise UnusableSnapshot(f"the snapshot is not trusted: {problem}") from None
    head, _, body = data.partition(b"\n")
    try:
        if head.decode("utf-8", "replace") != release():
            raise UnusableSnapshot(
                f"the snapshot is of {head.decode('utf-8', 'replace')[:80]}, this is {release()}"
            )
        return unpickle_account(_reveal(head, body, key))
    except UnusableSnapshot:
        _put_aside(path)
        raise
    except Exception as error:
        _put_aside(path)
        empty_account()
        raise UnusableSnapshot(f"the snapshot cannot be read ({type(error).__name__}: {error})") from error


def age(path: Path) -> float | None:
    """Seconds since the last snapshot; None when there is none."""
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except FileNotFoundError:
        return None


def _hide(head: bytes, body: bytes, key: str) -> bytes:
    """The file's content."""
    nonce = os.urandom(NONCE)
    return b"".join((head, b"\n", nonce, _cipher(key).encrypt(nonce, body, head)))


def _reveal(head: bytes, body: bytes, key: str) -> bytes:
    """The pickle. Raises UnusableSnapshot."""
    from cryptography.exceptions import InvalidTag

    try:
        return _cipher(key).decrypt(body[:NONCE], body[NONCE:], head)
    except (InvalidTag, ValueError):
        raise UnusableSnapshot(
            "the snapshot is damaged, or was not written by this home's local cloud"
        ) from None


def _cipher(key: str) -> AESGCM:
    """`key` is a digest of the home's key for this purpose alone (process.py); any text will do."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(hashlib.sha256(key.encode()).digest())


def _put_aside(path: Path) -> None:
    os.replace(path, path.with_suffix(f".{time.strftime('%Y%m%d-%H%M%S')}.old"))
