"""From a chosen model to an image, through `modelpack.image`: base and wheels locked, fetched, put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from modelpack.errors import BadInput
from modelpack.home import Home
from modelpack.image.assemble import assemble
from modelpack.image.debian.lock import fetch_debs, lock_debs
from modelpack.image.oci.layout import Layout
from modelpack.image.parts import BaseImage, Built, Deb, ImageParts, Wheel
from modelpack.image.wheels.lock import fetch_wheels, lock_wheels
from modelpack.inputs.environment import ServingEnvironment
from modelpack.inputs.lock import Lock
from modelpack.inputs.resolve import Inputs
from modelpack.inputs.server_files import app
from modelpack.progress import Progress

Package = TypeVar("Package", Deb, Wheel)
NEVER_READ = (
    *(f"{package}/*.{kind}" for package in ("numpy", "uvloop", "httptools") for kind in ("pxd", "pyx")),
    *(f"{package}/*.pyi" for package in ("numpy", "uvloop", "httptools", "msgspec")),
    *("numpy/distutils/*", "numpy/f2py/*", "numpy/tests/*", "numpy/*/tests/*", "numpy/*.a"),
    *(f"onnxruntime/{tools}/*" for tools in ("backend", "datasets", "quantization", "tools", "transformers")),
)
"""What no server imports of the packages that most images hold: how to compile against them, tests, and what makes
models. By name: other packages do read their .pyi files when they run (lazy_loader)."""


def complete_lock(
    inputs: Inputs, served: ServingEnvironment, lock: Lock, home: Home, progress: Progress
) -> Lock:
    """The lock with base and wheels for the chosen model's runtime, and all of them fetched.

    What the lock lacks is resolved now. Packages that the mirror dropped are locked again, and each change is told.
    """
    runtime, downloads = served.runtime, home.downloads
    progress.step("Fetching the image's packages")
    if inputs.request.pack.base is None:
        content = lock.get("debs", served.debs_digest)
        debs = (
            read_packages(Deb, content)
            if content
            else lock_debs(downloads, progress, runtime.debian_packages, runtime.debian_suite)
        )
        fetched = fetch_debs(debs, downloads, progress, runtime.debian_packages)
        lock = lock.having("debs", served.debs_digest, {"packages": [asdict(deb) for deb in fetched]})
    content = lock.get("wheels", served.wheels_digest)
    wheels = (
        read_packages(Wheel, content)
        if content
        else lock_wheels(served.requirements, without=served.unneeded)
    )
    fetch_wheels(wheels, downloads, progress)
    return lock.having("wheels", served.wheels_digest, {"packages": [asdict(wheel) for wheel in wheels]})


def read_packages(kind: type[Package], content: Mapping[str, Any]) -> tuple[Package, ...]:
    """The packages of a lock's section. Raises BadInput for one with a field too many, too few, or not of its form."""
    hint = "restore the lock from version control, or delete it to lock anew"
    try:
        return tuple(kind(**one) for one in content["packages"])
    except BadInput as problem:
        raise BadInput(str(problem), where="pack.lock", hint=hint) from None
    except (TypeError, KeyError):
        raise BadInput(f"its {kind.__name__.lower()}s are damaged", where="pack.lock", hint=hint) from None


def locked_wheels(served: ServingEnvironment, lock: Lock) -> tuple[Wheel, ...]:
    """The wheels that the lock names for what is served."""
    content = lock.get("wheels", served.wheels_digest) or {"packages": []}
    return read_packages(Wheel, content)


def assemble_image(
    inputs: Inputs,
    served: ServingEnvironment,
    lock: Lock,
    home: Home,
    model: Mapping[str, Path | bytes],
    labels: Mapping[str, str],
    progress: Progress,
) -> Built:
    """The image in `home.images`, from what the lock names."""
    progress.step("Writing the image")
    base = inputs.request.pack.base
    debs = lock.get("debs", served.debs_digest) or {"packages": []}
    runtime = served.runtime
    parts = ImageParts(
        base=BaseImage(base) if base else read_packages(Deb, debs),
        wheels=locked_wheels(served, lock),
        app=app(inputs.usecase),
        model=model,
        downloads=home.downloads,
        labels=labels,
        env=runtime.environment,
        libraries_from_host=runtime.host_libraries,
        opened=runtime.opened,
        left_out=(*NEVER_READ, *runtime.left_out),
    )
    return assemble(parts, Layout(home.images), progress)
