"""What an image holds of a model: made of the model and its data, or taken from an image of the same verdict.

`pack.lock` pins what was made (`MADE`). A machine that has neither data nor model, as a fresh one of a pipeline, then
takes all of it from an image that was shipped before, and every byte is compared with the lock: no training, no passes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from modelpack.digests import digest, sha256_of, source_digest
from modelpack.errors import EcomdeployError
from modelpack.formats.variant import Variant
from modelpack.gate import normal_shares
from modelpack.gate.answers import answers
from modelpack.image.config import is_model
from modelpack.image.layers import MODEL
from modelpack.image.oci.attachments import attachments
from modelpack.image.oci.layout import Layout
from modelpack.image.oci.unpack import unpack
from modelpack.inputs.lock import MADE, Lock
from modelpack.inputs.resolve import Inputs
from modelpack.inputs.rests_on import rests_on
from modelpack.pack import RECORD, SAMPLES
from modelpack.progress import Progress
from modelpack.server.golden import Golden
from modelpack.usecases.optional.serving import companions_of

if TYPE_CHECKING:
    from modelpack.gate.reference import Reference

T_co = TypeVar("T_co", covariant=True)
COMPUTED = "computed here by the runtime of the image; the server asks them of itself at every start"
SERVING = "serving.json"
SAID = ("rows", "fidelity", "golden_margin", "guardrails")


class ShippedImages(Protocol[T_co]):
    """Images that were shipped before, and what is known of them."""

    def find(self, input_digest: str) -> T_co | None:
        """What is known of the pack of exactly these inputs (`Inputs.pack_digest`), if its image is to be had."""
        ...

    def bring(self, inputs: str, layout: Layout, progress: Progress) -> str | None:
        """The digest of an image whose record says that its model was made of these inputs (`Inputs.verdict_digest`),
        its model layers and what is attached to it now in the layout; None where there is none."""
        ...

    def bring_layers(self, digests: Collection[str], layout: Layout, progress: Progress) -> None:
        """Those layers that images have, by their digests, into the layout, where their bytes are those."""
        ...


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """A model with all that was made of it and its data. `said` is what the record says of it, `answered` where the
    golden answers come from, in words; `model_sha256` names the model before the passes."""

    variant: Variant
    golden: tuple[Golden, ...]
    companions: Mapping[str, bytes]
    said: Mapping[str, Any]
    samples: Any
    model_sha256: str
    answered: str = COMPUTED
    lineage: Mapping[str, Any] | None = None
    """What a trained model was made of, and where; it decides nothing."""

    def as_pinned(self, inputs: Inputs) -> dict[str, Any]:
        """As the lock pins it: files by sha256, all else by one digest, and the code that made it."""
        return {
            "by": name_code(inputs),
            "files": {name: sha256_of(path) for name, path in self.variant.files.items()},
            "file": self.variant.path.name,
            "passes": list(self.variant.passes),
            "beside": digest(
                {
                    "golden": [[one.request, one.answer] for one in self.golden],
                    "companions": {name: digest(data.hex()) for name, data in self.companions.items()},
                    "said": self.said,
                    "samples": self.samples,
                }
            ),
        }


def make(inputs: Inputs, reference: Reference, variant: Variant) -> ServedModel:
    """What the image holds of the chosen variant. Raises what `Trials.golden` does."""
    usecase, trials = inputs.usecase, reference.trials
    requests, lasting = trials.golden(variant)
    pairs = answers(usecase, trials.run(variant), trials.data, requests)
    normal = normal_shares.measure(trials, trials.run(variant))
    return ServedModel(
        variant=variant,
        golden=tuple(Golden(*pair) for pair in pairs),
        companions=companions_of(usecase, trials.data),
        said={
            "rows": tell_rows(reference.company, usecase.max_batch),
            "fidelity": [one.as_data() for one in reference.fidelity],
            **({"golden_margin": dict(lasting)} if lasting else {}),
            **({"guardrails": normal} if normal else {}),
        },
        samples=usecase.samples(trials.data).as_data(),
        model_sha256=reference.model_sha256,
        lineage=reference.lineage.as_data() if reference.lineage else None,
    )


def tell_rows(company: str, most: int) -> dict[str, Any]:
    """What the record says of rows that share a call: whether an answer depends on its row alone."""
    if company:
        return {"independent": False, "max_batch": most, "because": company}
    return {"independent": True, "max_batch": most}


def pin(inputs: Inputs, lock: Lock, model: ServedModel) -> Lock:
    """The lock that names what was made. As it is for a given model, where it names something already (another type of
    CPU may give other last digits, and what was committed counts), and where training gave other weights here than
    where the verdict was measured."""
    verdict = lock.get("verdict", inputs.verdict_digest)
    if verdict is None or inputs.model_path is not None or verdict.get("model") != model.model_sha256:
        return lock
    if is_of_today(verdict.get(MADE), inputs):
        return lock
    return lock.having("verdict", inputs.verdict_digest, {**verdict, MADE: model.as_pinned(inputs)})


def name_code(inputs: Inputs) -> str:
    """Names the code that makes it, of ours and of the use case: that of this file, and all that `make` calls."""
    called = rests_on((answers.__module__, normal_shares.__name__), [inputs.usecase]).files
    return source_digest({*called, Path(__file__)})


def is_of_today(pinned: object, inputs: Inputs) -> bool:
    """Whether a lock names what today's code makes."""
    return isinstance(pinned, dict) and pinned.get("by") == name_code(inputs)


def take_shipped(
    inputs: Inputs,
    lock: Lock,
    shipped: ShippedImages[object],
    layout: Layout,
    folder: Path,
    progress: Progress,
) -> ServedModel | None:
    """What the lock pins, from an image that was shipped before; None where the lock pins nothing that today's code
    would make, no image has it, or the image's differs, which is told."""
    verdict = lock.get("verdict", inputs.verdict_digest) or {}
    pinned = verdict.get(MADE)
    if pinned is None or inputs.model_path is not None or not is_of_today(pinned, inputs):
        return None
    image = shipped.bring(inputs.verdict_digest, layout, progress)
    if image is None:
        return None
    try:
        place = unpack(layout, image, folder / "shipped", skip=lambda layer: not is_model(layer)) / MODEL
        for found in attachments(layout, image, RECORD):
            model = _read(place, pinned, verdict, json.loads(found), _samples(layout, image), image)
            if model.as_pinned(inputs) == pinned:
                progress.note(
                    f"the model that pack.lock names is that of the image {image[:19]}; taken from it"
                )
                return model
    except (EcomdeployError, OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        progress.note(f"the image {image[:19]} cannot be read ({problem}); its model is made anew")
        return None
    progress.note(f"the image {image[:19]} has another model than pack.lock names; it is made anew")
    return None


def check_name(name: str) -> str:
    """`name` itself. Raises ValueError unless it names a file right below a folder."""
    if name in ("", ".", "..") or "/" in name:
        raise ValueError(f"{name[:80]!r} is no file's name")
    return name


def _samples(layout: Layout, image: str) -> Any:
    return json.loads(attachments(layout, image, SAMPLES)[0])


def _read(
    place: Path,
    pinned: Mapping[str, Any],
    verdict: Mapping[str, Any],
    record: Mapping[str, Any],
    samples: Any,
    image: str,
) -> ServedModel:
    serving = json.loads((place / SERVING).read_bytes())
    own = place.parent / "variant"
    own.mkdir(exist_ok=True)
    for name in map(check_name, pinned["files"]):
        if not (own / name).exists():
            (place / name).rename(own / name)
    rest = {path.relative_to(place).as_posix(): path for path in sorted(place.rglob("*")) if path.is_file()}
    return ServedModel(
        variant=Variant(str(verdict["format"]), own / str(serving["file"]), tuple(pinned["passes"])),
        golden=tuple(Golden(one["request"], one["answer"]) for one in serving["golden"]),
        companions={name: path.read_bytes() for name, path in rest.items() if name != SERVING},
        said={name: record[name] for name in SAID if name in record},
        samples=samples,
        model_sha256=str(verdict["model"]),
        answered=f"those of the image {image}, of the same model; the server asks them of itself at every start",
        lineage=record.get("lineage"),
    )
