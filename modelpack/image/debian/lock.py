"""Debian packages for the base: locked by name, version and sha256 against the signed index, fetched by hash."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from modelpack.errors import EcomdeployError
from modelpack.image import download
from modelpack.image.debian import closure
from modelpack.image.debian import index as debian_index
from modelpack.image.debian.mirror import Mirror, of_host
from modelpack.image.parts import Deb
from modelpack.progress import Progress

SUITE = "bookworm"
# in every image: os-release, licences, /etc/services
FOUNDATION = ("base-files", "netbase")
# python3 is 3.11 there; libstdc++6 and libgomp1 are what numpy and onnxruntime link to
PACKAGES = ("ca-certificates", "libgomp1", "libstdc++6", "python3")
PARALLEL = 4


def lock_debs(
    downloads: Path,
    progress: Progress,
    packages: Sequence[str] = PACKAGES,
    suite: str = SUITE,
    mirror: Mirror | None = None,
    keyring: Path | None = None,
) -> tuple[Deb, ...]:
    """The packages, those of every image, and all they need: the newest of suite, updates and security.

    Raises EcomdeployError when an index is unsigned, badly signed, expired or cannot be fetched.
    """
    source = mirror or of_host(suite)
    index = debian_index.PackageIndex()
    with download.client() as http:
        for name in source.suites(suite):
            progress.note(f"reading the signed package list of {name} at {source.of(name)}")
            index.add(debian_index.fetch(http, name, source, keyring, downloads), name)
    return tuple(
        Deb(found.name, found.version, found.sha256, found.size, found.path, found.suite)
        for found in closure.close(index, (*FOUNDATION, *packages))
    )


def fetch_debs(
    debs: Sequence[Deb],
    downloads: Path,
    progress: Progress,
    packages: Sequence[str] = PACKAGES,
    mirror: Mirror | None = None,
    keyring: Path | None = None,
) -> tuple[Deb, ...]:
    """Bring every locked package into the downloads folder and return what the image must use.

    That is `debs`, unless the mirror dropped one of them: then all are locked again, against the signed index, and
    every change is told. Write the result back to `pack.lock` when it differs.
    Raises EcomdeployError when the mirror serves other bytes than those locked, or cannot be reached.
    """
    suite = _suite(debs)
    source = mirror or of_host(suite)
    dropped = _fetch(debs, downloads, source, progress)
    if not dropped:
        return tuple(debs)
    named = ", ".join(f"{deb.name} {deb.version}" for deb in dropped)
    progress.note(f"the mirror no longer has {named}: locking the base again, against the signed index")
    again = lock_debs(downloads, progress, packages, suite, source, keyring)
    for line in changes(debs, again):
        progress.note(line)
    if missing := _fetch(again, downloads, source, progress):
        named = ", ".join(f"{deb.name} {deb.version}" for deb in missing)
        hint = "choose another mirror"
        raise EcomdeployError(f"the signed index lists {named}, but the mirror does not have it", hint=hint)
    return again


def changes(old: Iterable[Deb], new: Iterable[Deb]) -> tuple[str, ...]:
    """What a new lock changes, a line for each package."""
    before = {deb.name: deb for deb in old}
    after = {deb.name: deb for deb in new}
    lines = []
    for name in sorted(before.keys() | after.keys()):
        was = before[name].version if name in before else "none"
        now = after[name].version if name in after else "none"
        if was != now:
            lines.append(f"re-locked {name}: {was} -> {now}")
        elif before[name].sha256 != after[name].sha256:
            lines.append(f"re-locked {name} {now}: same version, other bytes")
    return tuple(lines)


def path_of(deb: Deb, downloads: Path) -> Path:
    """Where a fetched package lies."""
    return downloads / "debs" / f"{deb.sha256}.deb"


def _suite(debs: Sequence[Deb]) -> str:
    suites = {deb.suite.removesuffix("-updates").removesuffix("-security") for deb in debs}
    if len(suites) != 1:
        raise EcomdeployError(f"the locked packages are of {len(suites)} suites: {', '.join(sorted(suites))}")
    return suites.pop()


def _fetch(debs: Sequence[Deb], downloads: Path, mirror: Mirror, progress: Progress) -> tuple[Deb, ...]:
    """Download what is not there; returns what the mirror does not have."""
    lacking = [deb for deb in debs if download.sha256_of(path_of(deb, downloads)) != deb.sha256]
    if not lacking:
        return ()
    total = sum(deb.size for deb in lacking)
    with (
        download.client() as http,
        progress.track(f"Fetching {len(lacking)} Debian packages", total, "B") as advance,
        ThreadPoolExecutor(PARALLEL) as pool,
    ):

        def one(deb: Deb) -> Deb | None:
            try:
                url = f"{mirror.of(deb.suite)}/{deb.path}"
                download.save(http, url, path_of(deb, downloads), deb.sha256, deb.size, advance)
            except download.Gone:
                return deb
            return None

        return tuple(deb for deb in pool.map(one, lacking) if deb is not None)
