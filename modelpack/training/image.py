"""The training image: Debian packages, the wheels that this machine trains with by the same versions, our own code.

What it holds of our code is what training rests on (`rests_on`), so that the digest of the code that a job finds in it
is the one that was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from importlib.metadata import packages_distributions
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING

import modelpack
from modelpack.assembly.assemble import read_packages
from modelpack.digests import digest, installed_version
from modelpack.errors import BadInput
from modelpack.home import Home
from modelpack.image.assemble import assemble
from modelpack.image.debian.lock import PACKAGES, SUITE, fetch_debs, lock_debs
from modelpack.image.oci.layout import Layout
from modelpack.image.parts import Built, Deb, ImageParts, Wheel
from modelpack.image.wheels.files import entries
from modelpack.image.wheels.lock import fetch_wheels, lock_wheels
from modelpack.inputs.lock import Lock
from modelpack.inputs.remembered import Remembered
from modelpack.inputs.rests_on import NAMED, rests_on
from modelpack.progress import Progress

if TYPE_CHECKING:
    from modelpack.inputs.resolve import Inputs

ENTRY = "modelpack.training.__main__"
MODULE = "modelpack.training"
ALWAYS = ("annotated-types", "msgspec", "numpy")
LEFT_OUT = (
    "nvidia/*/include/*",
    "nvidia/*.a",
    "torch/include/*",
    "torch/test/*",
    "torch/*.a",
    "*/tests/*.parquet",
)
"""For compilers and tests only."""
FROM_HOST = frozenset(
    {
        *("libcuda.so.1", "libnvidia-ml.so.1"),
        # of cuFile and NVSHMEM, which one machine's training opens nothing of
        *(
            "libibverbs.so.1",
            "librdmacm.so.1",
            "libmlx5.so.1",
            "libfabric.so.1",
            "libpmix.so.2",
            "libmpi.so.40",
        ),
        *("liboshmem.so.40", "libucs.so.0", "libucp.so.0", "libnuma.so.1"),
        # of the plug-ins for those who extend triton's compiler
        "libtriton.so",
    }
)
"""The driver's; and what only programs of several machines, and plug-ins, open."""
BESIDE = ("*/nvidia/*/lib", "*.libs")
"""Folders of libraries that name one another without saying where they lie: an importer loads them in the right order,
or the loader is told of the folders."""
ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}
)


def build_training_image(inputs: Inputs, home: Home, progress: Progress) -> Built:
    """The image that trains these inputs, in `home.images`; packages that were locked before are taken again.

    Raises BadInput for a use case of an installed package of the user's; EcomdeployError for what cannot be fetched.
    """
    progress.step("Writing the training image")
    needs = requirements(inputs)
    debs, wheels = lock_packages(needs, home, progress)
    parts = ImageParts(
        base=debs,
        wheels=wheels,
        app=app(inputs),
        model={},
        downloads=home.downloads,
        env={**ENVIRONMENT, **tell_folders(wheels, home.downloads)},
        libraries_from_host=FROM_HOST,
        left_out=LEFT_OUT,
        module=MODULE,
        command=("train",),
    )
    return assemble(parts, Layout(home.images), progress)


def requirements(inputs: Inputs) -> tuple[str, ...]:
    """The libraries of the training by the very versions that are installed here."""
    named = {*ALWAYS, *map(distribution_of, inputs.training_code.libraries), *inputs.training_code.versions}
    versions = {normal: version for normal in named if (version := installed_version(normal))}
    return tuple(sorted({f"{name.replace('_', '-')}=={version}" for name, version in versions.items()}))


def distribution_of(library: str) -> str:
    """What a library's package is called on the index."""
    name = NAMED.get(library, library)
    if installed_version(name) is not None:
        return name
    return next(iter(sorted(packages_distributions().get(library, ()))), name)


def lock_packages(
    needs: tuple[str, ...], home: Home, progress: Progress
) -> tuple[tuple[Deb, ...], tuple[Wheel, ...]]:
    """Debian packages and wheels, fetched; those that were locked here before for the same needs."""
    remembered = Remembered(home.locked)
    base = digest({"suite": SUITE, "packages": PACKAGES, "for": MODULE})
    above = digest({"requirements": needs, "for": MODULE})
    lock = remembered.recall(remembered.recall(Lock(), "debs", base), "wheels", above)
    if lock.get("debs", base) is None:
        debs = lock_debs(home.downloads, progress)
        lock = lock.having("debs", base, {"packages": [asdict(one) for one in debs]})
    if lock.get("wheels", above) is None:
        progress.note("resolving the packages of the training image; of some indexes that takes minutes")
        wheels = lock_wheels(needs)
        lock = lock.having("wheels", above, {"packages": [asdict(one) for one in wheels]})
    debs = fetch_debs(read_packages(Deb, lock.get("debs", base) or {}), home.downloads, progress)
    found = read_packages(Wheel, lock.get("wheels", above) or {})
    # before some gigabytes are fetched: who is cut off then need not resolve again
    remembered.keep(lock.having("debs", base, {"packages": [asdict(one) for one in debs]}))
    fetch_wheels(found, home.downloads, progress)
    return debs, found


def tell_folders(wheels: Sequence[Wheel], downloads: Path) -> dict[str, str]:
    """LD_LIBRARY_PATH for the folders of BESIDE that the wheels have; empty where they have none."""
    folders = {PurePosixPath(one.path).parent for one in entries(wheels, downloads) if ".so" in one.path}
    beside = sorted(str(one) for one in folders if any(fnmatchcase(str(one), like) for like in BESIDE))
    return {"LD_LIBRARY_PATH": ":".join(f"/{one}" for one in beside)} if beside else {}


def app(inputs: Inputs) -> dict[str, Path]:
    """Our files that training rests on, by their path below the image's app folder; a use case of the project's own
    comes with the data. Raises BadInput for one of another installed package."""
    home = Path(modelpack.__file__).parents[1]
    files = rests_on((ENTRY,), [inputs.usecase]).files
    found = {
        file.relative_to(home).as_posix(): file
        for file in files
        if home / MODULE.split(".")[0] in file.parents
    }
    others = [file for file in files if file not in found.values()]
    project = inputs.request.project.resolve()
    if strange := [file for file in others if not file.resolve().is_relative_to(project)]:
        raise BadInput(
            f"the use case rests on {strange[0]}, which is neither ours nor the project's",
            hint="put it into the project, or train here: model.train.on: local",
        )
    return dict(sorted(found.items()))
