"""From a request to a pack.

`find_known` answers from what was packed before, light enough for a command that changes nothing. `build` reads as the
way goes: a model, trained or taken; the passes under the gate, or the verdict of `pack.lock`; the image with its
golden requests; the record beside it; the lock, and the pack remembered. Where all of that was done before, nothing is
done again.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from modelpack import pack as packs
from modelpack.formats.variant import ONNX
from modelpack.home import Home
from modelpack.inputs import lock as locks
from modelpack.inputs.extras import tell_missing
from modelpack.inputs.lock import MADE, Lock
from modelpack.inputs.remembered import Remembered
from modelpack.inputs.resolve import Inputs, PackRequest, check_installed, resolve
from modelpack.language.task import decoding_of
from modelpack.pack import PLATFORM, RECORD, SAMPLES, Pack
from modelpack.progress import Progress
from modelpack.runtimes.hardware import CPU

if TYPE_CHECKING:
    from modelpack.assembly.served import ServedModel, ShippedImages
    from modelpack.formats.variant import Variant
    from modelpack.image.oci.layout import Layout
    from modelpack.inputs.environment import ServingEnvironment
    from modelpack.training.place import TrainingPlace

__all__ = ["PackRequest", "build", "find_known"]

T = TypeVar("T")


def nowhere(name: str) -> None:
    """No pack of that name was shipped."""


def find_known(
    request: PackRequest, home: Home, shipped: Callable[[str], T | None] = nowhere
) -> Pack | T | None:
    """The pack of exactly these inputs when it was made here before and its image is still whole; else what `shipped`
    has by the digest of these inputs.

    Raises BadInput for what `build` would refuse at once.
    """
    inputs, lock = resolve(request), locks.read(request.project, request.built_for)
    lock = Remembered(home.locked).complete(inputs, lock, lock != Lock())
    if (known := find(inputs, lock, home)) is not None:
        return known
    name = None if request.regate else inputs.pack_digest(lock)
    if name and (found := shipped(name)) is not None:
        return found
    if MADE not in (
        lock.get("verdict", inputs.verdict_digest) or {}
    ):  # else the model may be had without torch
        check_installed(inputs)
    return None


def find(inputs: Inputs, lock: Lock, home: Home) -> Pack | None:
    """The pack that the inputs and the lock name, at today's prices; None where there is none, or a new verdict is
    asked for."""
    from modelpack.gate.cost import add_prices
    from modelpack.image.oci.layout import Layout

    request, name = inputs.request, inputs.pack_digest(lock)
    pack = packs.load(home, name) if name and not request.regate else None
    if pack is None or not Layout(home.images).complete(pack.digest):
        return None
    return replace(pack, record=add_prices(pack.record, request.instance, request.usd_hour))


def build(
    request: PackRequest,
    home: Home,
    progress: Progress,
    shipped: ShippedImages[T] | None = None,
    place: TrainingPlace | None = None,
) -> Pack | T:
    """The pack, made now or before, and `pack.lock` in the project. What was measured for these very inputs before, in
    whatever project, is not measured again unless the request says `regate`; nor is anything built that `shipped` has
    of the same inputs, or a model trained that the lock names and an image of `shipped` has. A model is trained at the
    `place`, or here where there is none.

    Raises BadInput for a bad model file, plug-in or lock; EcomdeployError when the model does not beat its baseline,
    a required pass fails, the user's limits are not met, or something cannot be fetched.
    """
    from modelpack.assembly.assemble import complete_lock
    from modelpack.assembly.served import take_shipped
    from modelpack.image.oci.layout import Layout

    inputs, lock = resolve(request), locks.read(request.project, request.built_for)
    remembered, packages = Remembered(home.locked), lock != Lock()
    remembered.keep(lock)
    lock = remembered.complete(inputs, lock, packages)
    if (known := find(inputs, lock, home)) is not None:
        locks.write(request.project, lock, request.built_for)
        return known
    known_by, name = (None, None) if request.regate else (shipped, inputs.pack_digest(lock))
    if known_by and name and (sent := known_by.find(name)) is not None:
        progress.note("packed before and shipped")
        locks.write(request.project, lock, request.built_for)
        return sent
    with context(home) as folder, tell_missing():
        model = None
        if known_by is not None:
            model = take_shipped(inputs, lock, known_by, Layout(home.images), folder, progress)
        if model is None:
            model, lock = make_model(inputs, lock, remembered, home, folder, progress, place)
        lock = remembered.complete(inputs, lock, packages)
        served = inputs.find_environment(model.variant.format)
        lock = complete_lock(inputs, served, lock, home, progress, shipped)
        remembered.keep(lock)
        return finish_pack(inputs, lock, model, home, progress)


def make_model(
    inputs: Inputs,
    lock: Lock,
    remembered: Remembered,
    home: Home,
    folder: Path,
    progress: Progress,
    place: TrainingPlace | None = None,
) -> tuple[ServedModel, Lock]:
    """The model from its data or its file, through the passes, and the lock that names it."""
    from modelpack.assembly.served import make, pin
    from modelpack.gate.reference import prepare
    from modelpack.gate.verdict import choose

    check_installed(inputs)
    reference = prepare(inputs, home, folder, progress, place)
    variant, lock = choose(inputs, lock, reference, remembered, progress)
    model = make(inputs, reference, variant)
    return model, pin(inputs, lock, model)


@contextmanager
def context(home: Home) -> Iterator[Path]:
    """An empty folder for variants, gone afterwards."""
    home.models.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=home.models, prefix=".variants-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def finish_pack(inputs: Inputs, lock: Lock, model: ServedModel, home: Home, progress: Progress) -> Pack:
    """The image with everything attached; lock written, pack remembered."""
    from modelpack.assembly import contents
    from modelpack.assembly.assemble import assemble_image, locked_wheels, pin_built
    from modelpack.assembly.needs import bind
    from modelpack.gate import record
    from modelpack.image.oci.attachments import attach
    from modelpack.image.oci.layout import Layout

    usecase, variant = inputs.usecase, model.variant
    served = inputs.find_environment(variant.format)
    binding = bind(served.runtime, locked_wheels(served, lock), home.downloads, variant.size_mb)
    serving = contents.serving(served, variant, model.golden, binding)
    files = contents.model(variant, serving, model.companions)
    built = assemble_image(
        inputs, served, lock, home, files, contents.labels(usecase, variant, binding), progress
    )
    lock = pin_built(served, lock, built)
    figures = lock.get("verdict", inputs.verdict_digest) or {}
    layout = Layout(home.images)
    more: dict[str, Any] = {
        "needs": binding.as_data(),
        "golden": check_answers(served, layout, built.digest, model.answered, progress),
        **model.said,
        **({"lineage": model.lineage} if model.lineage else {}),
    }
    more |= name_fallbacks(served, variant)
    document = record.complete(inputs, figures, model.model_sha256, more)
    attach(layout, built.digest, RECORD, packs.encode(document))
    attach(layout, built.digest, SAMPLES, packs.encode(model.samples))
    locks.write(inputs.request.project, lock, inputs.request.built_for)
    pack = Pack(
        digest=built.digest,
        platform=PLATFORM,
        content_digest=built.content_digest,
        input_digest=inputs.pack_digest(lock) or "",
        usecase=usecase.name,
        size_bytes=built.size_bytes,
        record=document,
        golden=model.golden,
        tolerance=usecase.tolerance,
    )
    packs.store(home, pack)
    return pack


def check_answers(
    served: ServingEnvironment, layout: Layout, digest: str, answered: str, progress: Progress
) -> str:
    """How the golden answers were checked before anything is deployed, in words for the record."""
    if served.runtime.hardware == CPU:
        return answered
    from modelpack.assembly.proof import golden_answers
    from modelpack.server.engines.load import ON_CPU

    if served.runtime.name not in ON_CPU:
        return (
            f"not asked of the image: {served.runtime.name} runs on a GPU only; taken in float32 from the image's "
            "weights, with the margins under golden_margin"
        )
    return golden_answers(layout, digest, progress)


def name_fallbacks(served: ServingEnvironment, variant: Variant) -> dict[str, Any]:
    """What of a language model's step runs on the CPU of a GPU machine, for the record."""
    if variant.format != ONNX or served.runtime.hardware == CPU or decoding_of(served.usecase) is None:
        return {}
    import onnx

    from modelpack.passes.shared.half_attention import on_the_cpu

    graph = onnx.load_model(str(variant.path), load_external_data=False)
    return {"without_cuda_kernel": list(on_the_cpu(graph))}
