"""From a chosen model to an image, through `modelpack.image`: base and wheels locked, fetched, put together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from modelpack.errors import BadInput, EcomdeployError
from modelpack.home import Home
from modelpack.image import layers as plans
from modelpack.image.assemble import assemble
from modelpack.image.debian.lock import fetch_debs, lock_debs
from modelpack.image.layer import LayerPlan, recall
from modelpack.image.oci.layout import Layout
from modelpack.image.parts import BaseImage, Built, Deb, ImageParts, Wheel
from modelpack.image.pinned import LayerPin, pin_layers, read_pin, take_layer
from modelpack.image.wheels.lock import fetch_wheels, lock_wheels
from modelpack.inputs.environment import ServingEnvironment
from modelpack.inputs.lock import LAYERS, Lock
from modelpack.inputs.resolve import Inputs
from modelpack.inputs.server_files import app
from modelpack.progress import Progress
from modelpack.runtimes.hardware import CPU

if TYPE_CHECKING:
    from modelpack.assembly.served import ShippedImages

Package = TypeVar("Package", Deb, Wheel)
HINT = "restore the lock from version control, or delete it to lock anew"
NEVER_READ = (
    *(f"{package}/*.{kind}" for package in ("numpy", "uvloop", "httptools") for kind in ("pxd", "pyx")),
    *(f"{package}/*.pyi" for package in ("numpy", "uvloop", "httptools", "msgspec")),
    *("numpy/distutils/*", "numpy/f2py/*", "numpy/tests/*", "numpy/*/tests/*", "numpy/*.a"),
    *(f"onnxruntime/{tools}/*" for tools in ("backend", "datasets", "quantization", "tools", "transformers")),
)
"""What no server imports of the packages that most images hold: how to compile against them, tests, and what makes
models. By name: other packages do read their .pyi files when they run (lazy_loader)."""


def complete_lock(
    inputs: Inputs,
    served: ServingEnvironment,
    lock: Lock,
    home: Home,
    progress: Progress,
    shipped: ShippedImages[object] | None = None,
) -> Lock:
    """The lock with base and wheels for the chosen model's runtime, and what is to be built of them fetched.

    What the lock lacks is resolved now. A layer of packages that the lock pins is taken from an image of `shipped`.
    Packages that the mirror dropped are locked again, and each change is told.
    """
    runtime, downloads = served.runtime, home.downloads
    if inputs.request.pack.base is None and lock.get("debs", served.debs_digest) is None:
        debs = lock_debs(downloads, progress, runtime.debian_packages, runtime.debian_suite)
        lock = with_packages(lock, "debs", served.debs_digest, debs)
    wheels = locked_wheels(served, lock)
    if lock.get("wheels", served.wheels_digest) is None:
        wheels = lock_wheels(served.requirements, without=served.unneeded)
    if not all(one.size for one in wheels):  # which layers they make is decided by their sizes
        wheels = measure_wheels(wheels, downloads, progress)
    lock = with_packages(lock, "wheels", served.wheels_digest, wheels)
    layout = Layout(home.images)
    unmade = list_unmade(parts_of(inputs, served, lock, home), layout)
    if shipped is not None:
        unmade = take_pinned(unmade, read_pins(served, lock), shipped, layout, progress)
    if any(plan.role == "base" for plan in unmade):
        progress.step("Fetching the image's packages")
        debs = read_packages(Deb, lock.get("debs", served.debs_digest) or {})
        fetched = fetch_debs(debs, downloads, progress, runtime.debian_packages)
        lock = with_packages(lock, "debs", served.debs_digest, fetched)
        unmade = list_unmade(parts_of(inputs, served, lock, home), layout)
    of_device = [one for one in wheels if one.name in runtime.device_code[:1] and runtime.hardware != CPU]
    wanted = [one for plan in unmade for one in plan.packages if isinstance(one, Wheel)]
    fetch_wheels(list(dict.fromkeys([*wanted, *of_device])), downloads, progress)
    return lock


def with_packages(lock: Lock, name: str, holds_for: str, packages: Iterable[Deb | Wheel]) -> Lock:
    """The lock with a section's packages; the layers that it pins stay as they are."""
    pins = {LAYERS: pinned} if (pinned := (lock.get(name, holds_for) or {}).get(LAYERS)) else {}
    return lock.having(name, holds_for, {"packages": [asdict(one) for one in packages], **pins})


def measure_wheels(wheels: Sequence[Wheel], downloads: Path, progress: Progress) -> tuple[Wheel, ...]:
    """All of them fetched, with their sizes."""
    progress.step("Fetching the image's packages")
    paths = fetch_wheels(wheels, downloads, progress)
    return tuple(replace(one, size=path.stat().st_size) for one, path in zip(wheels, paths, strict=True))


def list_unmade(parts: ImageParts, layout: Layout) -> list[LayerPlan]:
    """Layers of packages that are to be built."""
    every = plans.of_packages(parts, plans.compiler_of(parts, layout))
    return [plan for plan in every if recall(plan, layout) is None]


def take_pinned(
    unmade: list[LayerPlan],
    pins: Mapping[str, LayerPin],
    shipped: ShippedImages[object],
    layout: Layout,
    progress: Progress,
) -> list[LayerPlan]:
    """Those of the layers that the lock pins and an image has, into the layout; gives those that must be built. Why is
    told."""
    if not pins or not unmade:
        return unmade
    known = [(plan, pins[key]) for plan in unmade if (key := plan.key()) in pins]
    tell_built(
        len(unmade) - len(known),
        "pack.lock names others, of other packages or by another version of ecomdeploy",
        progress,
    )
    shipped.bring_layers([pin.digest for _, pin in known], layout, progress)
    there = [(plan, pin) for plan, pin in known if layout.has(pin.digest, pin.size)]
    tell_built(len(known) - len(there), "no shipped image has those that pack.lock names", progress)
    for plan, pin in there:
        try:
            take_layer(plan, pin, layout)
        except EcomdeployError as problem:
            progress.note(f"{problem}: the layer is built anew")
    return [plan for plan in unmade if recall(plan, layout) is None]


def tell_built(count: int, why: str, progress: Progress) -> None:
    """Say that layers are built, where there are some."""
    if count:
        progress.note(f"layers of packages that are built anew: {count}; {why}")


def read_pins(served: ServingEnvironment, lock: Lock) -> dict[str, LayerPin]:
    """The layers that the lock pins, by what they are made of. Raises BadInput where it is damaged."""
    sections = (lock.get("debs", served.debs_digest), lock.get("wheels", served.wheels_digest))
    try:
        return {
            str(key): read_pin(pin)
            for section in sections
            for key, pin in (section or {}).get(LAYERS, {}).items()
        }
    except (EcomdeployError, AttributeError) as problem:
        raise BadInput(f"its layers are damaged: {problem}", where="pack.lock", hint=HINT) from None


def pin_built(served: ServingEnvironment, lock: Lock, built: Built) -> Lock:
    """The lock that names the layers that its packages were made into."""
    for name, role, holds_for in (
        ("debs", "base", served.debs_digest),
        ("wheels", "wheels", served.wheels_digest),
    ):
        content = lock.get(name, holds_for)
        if content is not None:
            lock = lock.having(name, holds_for, {**content, LAYERS: pin_layers(built.layers, role)})
    return lock


def read_packages(kind: type[Package], content: Mapping[str, Any]) -> tuple[Package, ...]:
    """The packages of a lock's section. Raises BadInput for one with a field too many, too few, or not of its form."""
    try:
        return tuple(kind(**one) for one in content["packages"])
    except BadInput as problem:
        raise BadInput(str(problem), where="pack.lock", hint=HINT) from None
    except (TypeError, KeyError):
        raise BadInput(f"its {kind.__name__.lower()}s are damaged", where="pack.lock", hint=HINT) from None


def locked_wheels(served: ServingEnvironment, lock: Lock) -> tuple[Wheel, ...]:
    """The wheels that the lock names for what is served."""
    content = lock.get("wheels", served.wheels_digest) or {"packages": []}
    return read_packages(Wheel, content)


def parts_of(inputs: Inputs, served: ServingEnvironment, lock: Lock, home: Home) -> ImageParts:
    """What the lock names for the image, with the server: no model yet."""
    base = inputs.request.pack.base
    debs = lock.get("debs", served.debs_digest) or {"packages": []}
    runtime = served.runtime
    return ImageParts(
        base=BaseImage(base) if base else read_packages(Deb, debs),
        wheels=locked_wheels(served, lock),
        app=app(inputs.usecase),
        model={},
        downloads=home.downloads,
        env=runtime.environment,
        libraries_from_host=runtime.host_libraries,
        opened=runtime.opened,
        left_out=(*NEVER_READ, *runtime.left_out),
    )


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
    parts = replace(parts_of(inputs, served, lock, home), model=model, labels=labels)
    return assemble(parts, Layout(home.images), progress)
