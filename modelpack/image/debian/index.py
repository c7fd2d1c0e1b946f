"""What a Debian suite offers, on its signature's word: InRelease -> Packages.xz by sha256 -> packages.

Formats: wiki.debian.org/DebianRepository/Format, deb-control(5).
"""

from __future__ import annotations

import datetime
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

from modelpack.errors import EcomdeployError
from modelpack.image import download
from modelpack.image.debian.decompress import decompress
from modelpack.image.debian.mirror import Mirror, fields_of
from modelpack.image.debian.signature import signed_text
from modelpack.image.debian.version import by_version

if TYPE_CHECKING:
    import httpx

ARCHITECTURE = "amd64"
DEPENDENCY = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9+.-]*)(?::\S+)?\s*(?:\((?P<relation>[<>=]++)\s*+(?P<version>[^)]+)\))?"
)


@dataclass(frozen=True)
class Dependency:
    """One alternative of a Depends field: a name and, with a relation, a version."""

    name: str
    relation: str = ""
    version: str = ""


@dataclass(frozen=True)
class Package:
    """One stanza of a Packages file. `needs` holds, per dependency, its alternatives; `provides` name -> version."""

    name: str
    version: str
    sha256: str
    size: int
    path: str
    suite: str
    needs: tuple[tuple[Dependency, ...], ...] = ()
    provides: tuple[Dependency, ...] = ()


class PackageIndex:
    """The packages of one or more suites. Stanzas are read when asked for: a suite has 60,000, an image needs 40."""

    def __init__(self) -> None:
        self.stanzas: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self.virtual: dict[str, set[str]] = defaultdict(set)
        self.read: dict[str, Package] = {}

    def add(self, text: str, suite: str) -> None:
        """Take in one Packages file."""
        for stanza in text.split("\n\n"):
            if not stanza.strip():
                continue
            name = _field(stanza, "Package")
            self.stanzas[name].append((suite, stanza))
            if provided := _field(stanza, "Provides"):
                for group in _depends(provided):
                    self.virtual[group[0].name].add(name)

    def newest(self, name: str) -> Package | None:
        """The package of that name with the highest version, None where there is none."""
        if name not in self.read and name in self.stanzas:
            every = [_package(stanza, suite) for suite, stanza in self.stanzas[name]]
            self.read[name] = max(every, key=lambda package: by_version(package.version))
        return self.read.get(name)

    def providers(self, name: str) -> tuple[Package, ...]:
        """The newest packages that provide a virtual one, by name."""
        found = (self.newest(provider) for provider in sorted(self.virtual.get(name, ())))
        return tuple(package for package in found if package is not None)


def fetch(http: httpx.Client, suite: str, mirror: Mirror, keyring: Path | None, downloads: Path) -> str:
    """The text of the suite's Packages file: component main, amd64.

    Raises EcomdeployError when the index is not signed, has expired, is of another suite or does not match.
    """
    root = f"{mirror.of(suite)}/dists/{suite}"
    url = f"{root}/InRelease"
    release = fields_of(signed_text(download.get(http, url), keyring, url))
    _check_release(release, suite, url)
    listed = dict(_read_checksums(release.get("SHA256", "")))
    name = f"main/binary-{ARCHITECTURE}/Packages.xz"
    if name not in listed:
        # the security archive calls its component updates/main but lists it without the prefix
        name = f"updates/{name}"
    if name not in listed:
        raise EcomdeployError(f"{url} lists no main/binary-{ARCHITECTURE}/Packages.xz")
    packed = _fetch(http, root, name, *listed[name], release, downloads)
    try:
        return decompress(packed, ".xz").decode("utf-8")
    except ValueError as problem:
        raise EcomdeployError(f"the package list cannot be read: {problem}", where=f"{root}/{name}") from None


def _check_release(release: dict[str, str], suite: str, url: str) -> None:
    if suite not in (release.get("Codename"), release.get("Suite")):
        named = release.get("Codename", "no suite")
        raise EcomdeployError(f"the signed index is of {named}, not of {suite}", where=url)
    until = release.get("Valid-Until")
    if until and parsedate_to_datetime(until) < datetime.datetime.now(datetime.UTC):
        hint = "the mirror no longer follows Debian, or this machine's clock is wrong: choose another mirror"
        raise EcomdeployError(f"the signed index was valid until {until}", where=url, hint=hint)


def _read_checksums(checksums: str) -> Iterator[tuple[str, tuple[str, int]]]:
    """File name, and its sha256 and size, of every line of the release's SHA256 field."""
    for line in checksums.splitlines():
        parts = line.split()
        if len(parts) == 3 and parts[1].isdecimal():
            yield parts[2], (parts[0], int(parts[1]))


def _fetch(
    http: httpx.Client,
    root: str,
    name: str,
    sha256: str,
    size: int,
    release: dict[str, str],
    downloads: Path,
) -> bytes:
    """The index file with that sha256, from the downloads folder or the mirror."""
    target = downloads / "debian-index" / f"{sha256}.xz"
    if download.sha256_of(target) != sha256:
        plain = f"{root}/{name}"
        by_hash = f"{plain.rpartition('/')[0]}/by-hash/SHA256/{sha256}"
        # by-hash keeps old and new index while a mirror is being updated
        url = by_hash if release.get("Acquire-By-Hash") == "yes" else plain
        try:
            download.save(http, url, target, sha256, size, lambda amount: None)
        except download.WrongBytes as problem:
            hint = "the mirror is broken or somebody changed it: choose another mirror"
            raise EcomdeployError(
                f"the mirror's package list is not the signed one: {problem}", hint=hint
            ) from None
    data = target.read_bytes()
    assert hashlib.sha256(data).hexdigest() == sha256, "checked when it was saved"
    return data


def _field(stanza: str, name: str) -> str:
    """One field of a stanza, on one line (as Packages files have them), "" where it is not."""
    if stanza.startswith(f"{name}: "):
        start = len(name) + 2
    else:
        start = stanza.find(f"\n{name}: ")
        if start < 0:
            return ""
        start += len(name) + 3
    end = stanza.find("\n", start)
    return stanza[start : end if end >= 0 else None].strip()


def _package(stanza: str, suite: str) -> Package:
    fields = fields_of(stanza)
    try:
        return Package(
            fields["Package"],
            fields["Version"],
            fields["SHA256"].lower(),
            int(fields["Size"]),
            _safe(fields["Filename"]),
            suite,
            tuple(_depends(", ".join(fields[key] for key in ("Pre-Depends", "Depends") if fields.get(key)))),
            tuple(group[0] for group in _depends(fields.get("Provides", ""))),
        )
    except (KeyError, ValueError) as problem:
        raise EcomdeployError(f"{suite}: a stanza of the package list is not readable: {problem!r}") from None


def _safe(path: str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError(path)
    return path


def _depends(text: str) -> Iterable[tuple[Dependency, ...]]:
    for group in text.replace("\n", " ").split(","):
        alternatives = tuple(
            Dependency(found["name"], found["relation"] or "", (found["version"] or "").strip())
            for part in group.split("|")
            if (found := DEPENDENCY.match(part.strip()))
        )
        if alternatives:
            yield alternatives
