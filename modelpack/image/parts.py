"""What an image is made of, and what came out: plain data, shared by every file of this room."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modelpack.errors import BadInput

HEX = r"[0-9a-f]{64}"
DEB_FORMS = {
    "name": r"[a-z0-9][a-z0-9+.-]+",
    "version": r"[A-Za-z0-9.+:~-]+",
    "sha256": HEX,
    "path": r"[A-Za-z0-9_][A-Za-z0-9_.+~%:/-]*\.deb",
    "suite": r"[a-z][a-z0-9-]*",
}
"""Debian policy, sections 5.6.1 and 5.6.12; `path` is relative and names no other host."""
WHEEL_FORMS = {
    "name": r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?",
    "version": r"[A-Za-z0-9][A-Za-z0-9.!+_-]*",
    "filename": r"[A-Za-z0-9][A-Za-z0-9._+!-]*\.whl",
    "sha256": HEX,
}
"""packaging.python.org: name-normalization, version-specifiers, binary-distribution-format."""


def check_form(part: object, forms: Mapping[str, str]) -> None:
    """Raises BadInput unless every field is a text of its form, from its first to its last character."""
    for name, form in forms.items():
        value = getattr(part, name)
        if not isinstance(value, str) or len(value) > 500 or not re.fullmatch(form, value, re.ASCII):
            raise BadInput(f"{type(part).__name__.lower()}: {name} {str(value)[:80]!r} is no {name}")


@dataclass(frozen=True)
class Deb:
    """One locked Debian package. `path` is below the mirror of `suite`; `size` in bytes."""

    name: str
    version: str
    sha256: str
    size: int
    path: str
    suite: str

    def __post_init__(self) -> None:
        """Raises BadInput for a field that is not of its form: locks are files that strangers may have written."""
        check_form(self, DEB_FORMS)
        if type(self.size) is not int or not 0 <= self.size < 2**40 or ".." in self.path.split("/"):
            raise BadInput(f"a Debian package of {self.size!r} bytes at {self.path!r} cannot be")


@dataclass(frozen=True)
class Wheel:
    """One locked wheel of PyPI or the user's own index. `size` in bytes, which an index does not tell: 0 until it was
    fetched."""

    name: str
    version: str
    filename: str
    sha256: str
    size: int = 0

    def __post_init__(self) -> None:
        """Raises BadInput for a field that is not of its form: pip would read more than a name out of it."""
        check_form(self, WHEEL_FORMS)
        if type(self.size) is not int or not 0 <= self.size < 2**40:
            raise BadInput(f"a wheel of {self.size!r} bytes cannot be")


@dataclass(frozen=True)
class BaseImage:
    """A base from a registry instead of Debian packages: `host[:port]/name@sha256:<hex>`."""

    reference: str
    credentials: tuple[str, str] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class ImageParts:
    """Everything that decides the image's bytes, and `downloads`, where debs and wheels lie (decides nothing).

    `app` maps paths below `/opt/ecomdeploy/app`, `model` paths below `/opt/ecomdeploy/model`, to a file or its
    bytes. `labels` and `env` are added to those every image has. `libraries_from_host`: sonames that the host's GPU
    driver brings; `opened`: sonames that a program opens by name while it runs, which no ELF file declares.
    `left_out`: patterns (fnmatch) of files of the wheels that serving never reads, below their folder.
    `bytecode`: whether Python files are compiled beforehand, which halves the server's start. `module`: what Python
    runs there, with the `command`.
    """

    base: tuple[Deb, ...] | BaseImage
    wheels: tuple[Wheel, ...]
    app: Mapping[str, Path | bytes]
    model: Mapping[str, Path | bytes]
    downloads: Path
    labels: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    libraries_from_host: frozenset[str] = frozenset()
    opened: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    bytecode: bool = True
    module: str = "modelpack.server"
    command: tuple[str, ...] = ("serve",)


@dataclass(frozen=True)
class BuiltLayer:
    """One layer of a built image: `role` is base, wheels, app, model or files; sizes in bytes; `key` names what it was
    made of, "" for one of a base image."""

    role: str
    digest: str
    diff_id: str
    size: int
    reused: bool
    key: str


@dataclass(frozen=True)
class Built:
    """`digest` is the manifest's; `content_digest` covers all files but the file manifest; `size_bytes` is a pull's."""

    digest: str
    content_digest: str
    size_bytes: int
    layers: tuple[BuiltLayer, ...]
