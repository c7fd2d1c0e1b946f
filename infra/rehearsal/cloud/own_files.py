"""Files that only this user can have written: made for oneself alone, and not believed when they are anybody else's."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from modelpack.errors import BadInput
from modelpack.home import write_atomically

KEY_BYTES = 32


def claim_folder(folder: Path) -> None:
    """Make a folder that no other user can look into. Raises BadInput for one that is somebody else's."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise _foreign(folder, found)
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)


def read_own(path: Path) -> bytes:
    """The content of a file.

    Raises:
        FileNotFoundError: there is none.
        BadInput: another user owns it or may write to it, or it is no regular file.
    """
    try:
        # O_NONBLOCK: a pipe put in its place must not hold the reader up
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except NotADirectoryError as problem:  # whoever makes what is not there is told so
        raise FileNotFoundError(*problem.args) from None
    except OSError as problem:
        raise BadInput(f"cannot be read: {problem.strerror}", where=str(path)) from None
    found = os.fstat(descriptor)
    own = found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o022
    if not own or not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise _foreign(path, found)
    with open(descriptor, "rb") as file:
        return file.read()


def read_key(path: Path) -> bytes:
    """A random key, made when it is first asked for. Raises BadInput as `read_own`, and for a damaged one."""
    try:
        key = read_own(path)
    except FileNotFoundError:
        part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        write_atomically(part, secrets.token_bytes(KEY_BYTES), private=True)
        try:
            os.link(part, path)  # of two that make it at once the first wins
        except FileExistsError:
            pass
        finally:
            part.unlink()
        key = read_own(path)
    if len(key) != KEY_BYTES:
        hint = f"rm {path}; the next start makes a new one"
        raise BadInput("a damaged key", where=str(path), hint=hint)
    return key


def _foreign(path: Path, found: os.stat_result) -> BadInput:
    what = f"belongs to user {found.st_uid}, or others may write to it: it is not used"
    return BadInput(what, where=str(path), hint="choose a folder of your own with ECOMDEPLOY_HOME")
