"""An environment as `pip install ecomdeploy` makes it, without any extra: this one's packages, those that are needed.

Which are needed is read from pyproject.toml and from what each package says of itself, so that what an extra brings, or
a tool of ours, is not there. Files are linked, not copied: the sandbox that opens models follows no symbolic link.
"""

from __future__ import annotations

import os
import shutil
import tomllib
import venv
from collections.abc import Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.utils import canonicalize_name

from modelpack.image.wheels.needed import find_needed

ROOT = Path(__file__).resolve().parents[2]
OURS = "ecomdeploy"
PIP = "pip"
"""Comes with every environment, and fetches the wheels of an image."""


def make_environment(folder: Path) -> Path:
    """The environment's Python, in the empty `folder`."""
    venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    installed = {str(canonicalize_name(one.metadata["Name"])): one for one in distributions()}
    for name in sorted(needed(installed) | {PIP}):
        link_files(installed[canonicalize_name(name)], packages)
    # Our own packages come from this checkout; of the installation only what it says of itself.
    link_files(installed[canonicalize_name(OURS)], packages, only=".dist-info")
    return folder / "bin" / "python"


def needed(installed: Mapping[str, Distribution]) -> frozenset[str]:
    """The names of what our package needs without extras."""
    declared = [
        {"metadata": {"name": name, "requires_dist": one.requires}} for name, one in installed.items()
    ]
    base = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return find_needed(declared, base, (), python="3.11")


def link_files(one: Distribution, target: Path, only: str = "") -> None:
    """A distribution's files in another site-packages, without scripts, which lie outside of it."""
    for file in one.files or ():
        if ".." in file.parts or "__pycache__" in file.parts or only not in file.parts[0]:
            continue
        source, there = Path(str(one.locate_file(file))), target / file
        there.parent.mkdir(parents=True, exist_ok=True)
        if source.is_file() and not there.exists():
            link_or_copy(source, there)


def link_or_copy(source: Path, target: Path) -> None:
    """Another name for a file where the disk is the same."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
