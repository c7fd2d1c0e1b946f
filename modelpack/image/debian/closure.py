"""From a few package names to all that they need: the newest versions, first alternatives, checked at the end."""

from __future__ import annotations

from collections.abc import Container, Sequence

from modelpack.errors import BadInput, EcomdeployError
from modelpack.image.debian.index import Dependency, Package, PackageIndex
from modelpack.image.debian.version import satisfies

# asked for by maintainer scripts only, and an image built here runs none
SCRIPTS_ONLY = frozenset(
    {
        "debconf",
        "debconf-2.0",
        "dpkg",
        "perl-base",
        "init-system-helpers",
        "install-info",
        "openssl",
        "awk",
        "mawk",
    }
)


def close(index: PackageIndex, names: Sequence[str]) -> tuple[Package, ...]:
    """The packages named and what they depend on, by name.

    Raises BadInput for a name the suite does not have, EcomdeployError for a dependency that nothing satisfies.
    """
    chosen: dict[str, Package] = {}
    unknown = [name for name in names if index.newest(name) is None]
    if unknown:
        raise BadInput(f"the suite has no package {', '.join(unknown)}")
    waiting = list(reversed(names))
    while waiting:
        package = index.newest(waiting.pop())
        if package is None or package.name in chosen:
            continue
        chosen[package.name] = package
        waiting += reversed(
            [name for group in package.needs for name in _choose_package(group, index, chosen)]
        )
    return tuple(chosen[name] for name in sorted(chosen))


def _choose_package(group: Sequence[Dependency], index: PackageIndex, chosen: Container[str]) -> list[str]:
    """The package that will satisfy one dependency: none for what only scripts need, else one."""
    if any(alternative.name in SCRIPTS_ONLY for alternative in group):
        return []
    fitting = [package.name for wish in group for package in _fitting(wish, index)]
    if not fitting:
        wished = " | ".join(f"{wish.name} {wish.relation} {wish.version}".strip() for wish in group)
        raise EcomdeployError(f"no package of the suite satisfies {wished!r}")
    return [next((name for name in fitting if name in chosen), fitting[0])]


def _fitting(wish: Dependency, index: PackageIndex) -> list[Package]:
    real = index.newest(wish.name)
    if real is not None and satisfies(real.version, wish.relation, wish.version):
        return [real]
    # an unversioned Provides satisfies no versioned dependency (Debian policy 7.5)
    return [
        package
        for package in index.providers(wish.name)
        for virtual in package.provides
        if virtual.name == wish.name
        and (
            not wish.relation
            or (virtual.relation and satisfies(virtual.version, wish.relation, wish.version))
        )
    ]
