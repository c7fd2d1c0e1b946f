"""Python packages for the image: resolved once by pip for the image's Python, locked, fetched by hash.

pip is asked, not imitated: the user's index, find-links, proxies and certificates hold here too. Markers that pip
evaluates with the Python it runs on (python_version, platform) are right when that is the image's version.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from modelpack.errors import EcomdeployError
from modelpack.image.download import sha256_of
from modelpack.image.parts import Wheel
from modelpack.image.wheels.needed import find_needed
from modelpack.inputs.children import find_unreached, reason_of, run_pip
from modelpack.progress import Progress

PYTHON = "3.11"
# kept at glibc 2.28 where it can be, so that a base from a registry may be older
PLATFORMS = (
    *(f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)),
    "manylinux2014_x86_64",
    "manylinux2010_x86_64",
    "manylinux1_x86_64",
    "linux_x86_64",
)
NEWER = tuple(f"manylinux_2_{minor}_x86_64" for minor in range(29, 37))
"""What glibc 2.36 of Debian 12 runs as well: asked for only where packages are to be had in no older form."""
MISSING = re.compile(
    r"Could not find a version that satisfies the requirement (?P<what>[^ ;]{1,200})[^(]{0,200}"
    r"\(from (?P<by>(?!versions:)[^)]{0,400})\)[^(]{0,200}\(from versions: (?P<there>[^)]*)\)"
)
"""pip's words for a package that another one wants and the index lacks."""


def lock_wheels(
    requirements: Sequence[str], python: str = PYTHON, without: Collection[str] = frozenset()
) -> tuple[Wheel, ...]:
    """The wheels that satisfy the requirements and all they need, by name, each with its sha256.

    `without`: distributions to leave out, for those a package declares but our use never imports; what only they
    need goes with them.
    Raises EcomdeployError when pip finds no set of wheels for the image's Python.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        options = ["install", "--dry-run", "--ignore-installed", "--report", str(report)]
        options += ["--target", folder]
        purpose = "resolve the image's packages"
        try:
            _pip([*options, *_platform(python, PLATFORMS), *requirements], purpose)
        except EcomdeployError:
            _pip([*options, *_platform(python), *requirements], purpose)
        data = json.loads(report.read_bytes())
    kept = find_needed(data["install"], requirements, without, python)
    wheels = [wheel for item in data["install"] if (wheel := _wheel(item)).name in kept]
    return tuple(sorted(wheels, key=lambda wheel: wheel.name))


def fetch_wheels(
    wheels: Sequence[Wheel], downloads: Path, progress: Progress, python: str = PYTHON
) -> tuple[Path, ...]:
    """Bring every locked wheel into the downloads folder, in the order given.

    Raises EcomdeployError when the index no longer has a wheel with that hash.
    """
    lacking = [wheel for wheel in wheels if sha256_of(path_of(wheel, downloads)) != wheel.sha256]
    if lacking:
        progress.note(f"fetching {len(lacking)} Python packages")
        folder = downloads / "wheels"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as work:
            _download(lacking, Path(work), python)
            for wheel in lacking:
                _accept(wheel, Path(work) / wheel.filename, path_of(wheel, downloads))
    return tuple(path_of(wheel, downloads) for wheel in wheels)


def path_of(wheel: Wheel, downloads: Path) -> Path:
    """Where a fetched wheel lies."""
    return downloads / "wheels" / wheel.filename


def normal(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _download(wheels: Sequence[Wheel], folder: Path, python: str) -> None:
    """`pip download` in hash-checking mode (pip.pypa.io/en/stable/topics/secure-installs/)."""
    listed = folder / "requirements.txt"
    lines = [f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}" for wheel in wheels]
    listed.write_text("\n".join(lines) + "\n")
    options = [
        "download",
        "--no-deps",
        "--require-hashes",
        "--dest",
        str(folder),
        "--requirement",
        str(listed),
    ]
    _pip([*options, *_platform(python)], "fetch the image's packages")


def _accept(wheel: Wheel, found: Path, target: Path) -> None:
    if sha256_of(found) != wheel.sha256:
        names = ", ".join(sorted(path.name for path in found.parent.glob("*.whl"))) or "nothing"
        raise EcomdeployError(f"the package index gave {names} for {wheel.filename} of pack.lock")
    found.replace(target)


def _platform(python: str, platforms: Sequence[str] = (*PLATFORMS, *NEWER)) -> list[str]:
    options = ["--only-binary", ":all:", "--implementation", "cp", "--python-version", python]
    return options + [option for platform in platforms for option in ("--platform", platform)]


def _pip(arguments: Sequence[str], purpose: str) -> None:
    well, said = run_pip(purpose, *arguments)
    if not well:
        hint = "check the network, pip's index (`pip config list`) and the requirement"
        reason = reason_of(said)
        if (absent := MISSING.search(said)) and not find_unreached(said):
            reason = (
                f"ERROR: no wheel of {absent['what']} on the index fits the image (wanted by {absent['by']}; "
                f"to be had: {absent['there'] or 'none'})"
            )
            hint = (
                f"add an index or a folder that has {absent['what']}: PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS (now: `pip "
                "config list`); or name other passes in pack.passes, whose runtime does without it"
            )
        raise EcomdeployError(f"cannot {purpose}: {reason}", hint=hint)


def _wheel(item: dict[str, Any]) -> Wheel:
    """One entry of pip's report (pip.pypa.io/en/stable/reference/installation-report/)."""
    filename = unquote(urlsplit(item["download_info"]["url"]).path.rpartition("/")[2])
    information = item["download_info"].get("archive_info", {})
    sha256 = information.get("hashes", {}).get("sha256", "")
    if not filename.endswith(".whl") or not sha256:
        raise EcomdeployError(f"pip names no wheel with a sha256 for {item['metadata']['name']}: {filename}")
    metadata = item["metadata"]
    return Wheel(normal(metadata["name"]), metadata["version"], filename, sha256)
