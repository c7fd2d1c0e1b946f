"""The account on disk: one file, tied to moto's version and to the home's key.

    format 3, moto 5.2.5, Python 3.11
    <HMAC-SHA-256 of the first line and all that follows the second>
    <a pickle, see pickling.py>

A pickle runs what it names. So a file is read only when this user owns it, nobody else may write to it, and it was
signed with this home's key, which another user cannot read.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import sys
import time
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from infra.rehearsal.cloud.daemon.pickling import (
    Pickled,
    check_readable,
    empty_account,
    pickle_account,
    unpickle_account,
)
from infra.rehearsal.cloud.own_files import read_own, write_atomically
from modelpack.errors import BadInput

FORMAT = 3


class UnusableSnapshot(Exception):
    """The snapshot cannot be used; `str()` says why."""


def release() -> str:
    """What a snapshot is tied to."""
    return f"format {FORMAT}, moto {version('moto')}, Python {sys.version_info[0]}.{sys.version_info[1]}"


def dump(state: dict[str, Any], key: str, lock: AbstractContextManager[Any]) -> Pickled:
    """The file's content, and what could not be kept. `lock`: the account's, held while it is written, not while it is
    read back to see whether it can be. Raises what pickle does."""
    with lock:
        pickled = pickle_account(state)
    try:
        check_readable(pickled.data)
    except Exception:
        with lock:
            pickled = pickle_account(state, each=True)
    head = release().encode()
    return Pickled(b"\n".join((head, _sign(head, pickled.data, key), pickled.data)), pickled.left_out)


def save(path: Path, data: bytes) -> None:
    """Write a dump so that a kill leaves the old file or the new one. Raises OSError."""
    write_atomically(path, data)


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
    head, _, rest = data.partition(b"\n")
    signature, _, body = rest.partition(b"\n")
    try:
        if head.decode("utf-8", "replace") != release():
            raise UnusableSnapshot(
                f"the snapshot is of {head.decode('utf-8', 'replace')[:80]}, this is {release()}"
            )
        if not hmac.compare_digest(signature, _sign(head, body, key)):
            raise UnusableSnapshot("the snapshot is damaged, or was not written by this home's local cloud")
        return unpickle_account(body)
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


def _sign(head: bytes, body: bytes, key: str) -> bytes:
    signature = hmac.new(key.encode(), head + b"\n", hashlib.sha256)
    signature.update(body)
    return signature.hexdigest().encode()


def _put_aside(path: Path) -> None:
    os.replace(path, path.with_suffix(f".{time.strftime('%Y%m%d-%H%M%S')}.old"))
