"""What an image is made of, and what came out: plain data, shared by every file of this room."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Deb:
    """One locked Debian package. `path` is below the mirror of `suite`; `size` in bytes."""

    name: str
    version: str
    sha256: str
    size: int
    path: str
    suite: str


@dataclass(frozen=True)
class Wheel:
    """One locked wheel of PyPI or the user's own index."""

    name: str
    version: str
    filename: str
    sha256: str


@dataclass(frozen=True)
class BaseImage:
    """A base from a registry instead of Debian packages: `host[:port]/name@sha256:<hex>`."""

    reference: str
    credentials: tuple[str, str] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class ImageParts:
    """Everything that decides the image's bytes, and `downloads`, where debs and wheels lie (decides nothing).

    `app` maps paths below `/opt/ecomdeploy/app`, `model` paths below `/opt/ecomdeploy/model`, to a file or its
    bytes. `labels` and `env` are added to those every image has. `compression` is "gzip", or "zstd" for fewer
    bytes where every runtime is known to read it. `libraries_from_host`: sonames that the host's GPU driver brings;
    `opened`: sonames that a program opens by name while it runs, which no ELF file declares. `left_out`: patterns
    (fnmatch) of files of the wheels that serving never reads, below their folder. `bytecode`: whether Python files
    are compiled beforehand, which halves the server's start.
    """

    base: tuple[Deb, ...] | BaseImage
    wheels: tuple[Wheel, ...]
    app: Mapping[str, Path | bytes]
    model: Mapping[str, Path | bytes]
    downloads: Path
    labels: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    compression: str = "gzip"
    libraries_from_host: frozenset[str] = frozenset()
    opened: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    bytecode: bool = True


@dataclass(frozen=True)
class BuiltLayer:
    """One layer of a built image: `role` is base, wheels, app, model or files; sizes in bytes."""

    role: str
    digest: str
    diff_id: str
    size: int
    reused: bool


@dataclass(frozen=True)
class Built:
    """`digest` is the manifest's; `content_digest` covers all files but the file manifest; `size_bytes` is a pull's."""

    digest: str
    content_digest: str
    size_bytes: int
    layers: tuple[BuiltLayer, ...]
