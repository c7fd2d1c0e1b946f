"""A member of a stranger's tar, its header held to its form before the standard library reads on."""

from __future__ import annotations

import re
import tarfile
from typing import Any

EXTENDED = frozenset(
    {
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    }
)
MOST_EXTENDED = 1_000_000
"""Bytes of names and attributes that stand before a member; they are read into memory."""
MOST_GLOBAL = 32
"""Attributes for all members that follow; each gets a copy of its own."""
DIGITS = re.compile(rb"\d{100}")


class TarEntry(tarfile.TarInfo):
    """What `tarfile` of any Python 3.11 gets wrong is refused with its own ReadError.

    A negative size leads it backwards for ever (CVE-2025-8194), and long runs of digits in an extended header make
    its patterns take the square of their length (CVE-2024-6232). `_proc_member` is the entry point that its source
    names for subclasses.
    """

    def _proc_member(self, archive: Any) -> Any:
        self.check_form()
        if self.type not in EXTENDED:
            return super()._proc_member(archive)  # type: ignore[misc]
        if self.size > MOST_EXTENDED:
            raise tarfile.ReadError(f"an extended header of {self.size:,} bytes")
        file = archive.fileobj
        archive.fileobj = _ReadAhead(file, self.size + -self.size % tarfile.BLOCKSIZE)
        try:
            found: TarEntry = super()._proc_member(archive)  # type: ignore[misc]
        finally:
            archive.fileobj = file
        if len(archive.pax_headers) > MOST_GLOBAL:
            raise tarfile.ReadError(f"more than {MOST_GLOBAL} attributes for all its members")
        # the header may have given it another size
        return found.check_form()

    def check_form(self) -> TarEntry:
        """Itself. Raises ReadError for a size that is none, and for a sparse file: a few bytes that claim terabytes."""
        if self.size < 0:
            raise tarfile.ReadError(f"the size of {self.name!r} is negative")
        if self.type == tarfile.GNUTYPE_SPARSE or self.issparse():
            raise tarfile.ReadError(f"it holds a sparse file, {self.name!r}")
        return self


class _ReadAhead:
    """A file whose next bytes were read, and looked at, already."""

    def __init__(self, inner: Any, size: int) -> None:
        self.inner = inner
        self.data = inner.read(size)
        if DIGITS.search(self.data):
            raise tarfile.ReadError("an extended header holds 100 digits in a row")

    def read(self, size: int) -> Any:
        # tarfile asks for just these, once
        data, self.data = self.data, b""
        return data or self.inner.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)
