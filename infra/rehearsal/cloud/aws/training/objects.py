"""Between S3 and a job's folder. What a container leaves there is a stranger's: no link is followed."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from infra.rehearsal.cloud.addresses import ACCOUNT
from infra.rehearsal.cloud.aws.overlay.s3 import find_bucket


class BadData(Exception):
    """`str()` says what is wrong with S3 data, fit for a FailureReason."""


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of s3://bucket/key."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def list_keys(uri: str) -> list[str]:
    """The keys that begin with a URI's; none where there is no such bucket. The caller holds the account's lock."""
    name, prefix = split_uri(uri)
    bucket = find_bucket(name)
    return sorted(key for key in bucket.keys if key.startswith(prefix)) if bucket else []


def bring(uri: str, folder: Path) -> int:
    """All objects that begin with the URI, as S3Prefix takes them: below `folder` by what follows its last "/". How
    many there were. Raises BadData for a key that leads out of the folder. The caller holds the account's lock."""
    from moto.s3.models import s3_backends

    name, prefix = split_uri(uri)
    head = prefix.rpartition("/")[0]
    keys = [key for key in list_keys(uri) if not key.endswith("/")]
    for key in keys:
        below = PurePosixPath(key.removeprefix(head).lstrip("/"))
        if below.is_absolute() or ".." in below.parts or not below.parts:
            raise BadData(f"the object {key!r} of {name} has a name that leads out of the folder")
        path = folder / below
        path.parent.mkdir(parents=True, exist_ok=True)
        found = s3_backends[ACCOUNT]["aws"].get_object(name, key)
        path.write_bytes(found.value if found else b"")
    return len(keys)


def put(uri: str, content: bytes) -> None:
    """One object. Raises BadData where there is no such bucket. The caller holds the account's lock."""
    from moto.s3.models import s3_backends

    name, key = split_uri(uri)
    if find_bucket(name) is None:
        raise BadData(f"there is no bucket {name}")
    s3_backends[ACCOUNT]["aws"].put_object(name, key, content)


def regular_files(folder: Path) -> Iterator[tuple[str, IO[bytes], os.stat_result]]:
    """What a container has left: path below the folder, the open file, what it is. Only plain files, in order."""
    if not folder.is_dir() or folder.is_symlink():
        return
    for place, folders, names, handle in os.fwalk(folder):
        folders.sort()
        for name in sorted(names):
            try:
                opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=handle)
            except OSError:
                continue  # a link, or gone meanwhile
            with open(opened, "rb") as file:
                about = os.fstat(opened)
                if stat.S_ISREG(about.st_mode):
                    yield (Path(place) / name).relative_to(folder).as_posix(), file, about


def pack(folder: Path) -> bytes | None:
    """model.tar.gz of a folder; None where there is nothing in it."""
    stream, count = io.BytesIO(), 0
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as archive:
        for path, file, about in regular_files(folder):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mtime, entry.mode = about.st_size, about.st_mtime, 0o644
            archive.addfile(entry, file)
            count += 1
    return stream.getvalue() if count else None


def read_text(folder: Path, name: str, most: int) -> str:
    """The beginning of a file that a container may have left right in `folder`; "" where there is none."""
    for path, file, _ in regular_files(folder):
        if path == name:
            return file.read(most * 4).decode("utf-8", "replace")[:most]
    return ""
