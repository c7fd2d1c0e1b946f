"""From what is wanted to a pack, through modelpack; what of the pack a release keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from modelpack.errors import BadInput
from modelpack.home import Home
from modelpack.progress import Progress
from modelpack.runtimes.hardware import CPU, CUDA
from stacks.records.release import Packed
from stacks.wanted import Wanted

if TYPE_CHECKING:
    from modelpack.build import PackRequest
    from modelpack.pack import Pack
    from modelpack.training.place import TrainingPlace
    from stacks.adapters.shipped import ShippedPacks

    TrainingPlaces = Callable[[Wanted, Mapping[str, Any]], TrainingPlace]


@dataclass(frozen=True)
class PackBuilder:
    """`project` is the folder of `ecomdeploy.yaml`: relative paths and `pack.lock` lie there. `shipped`: what a
    registry has of this service; None where nothing is asked of one. `places`: where a model is trained that is not
    trained here, by what the base stack has for it."""

    home: Home
    project: Path
    shipped: ShippedPacks | None = None
    places: TrainingPlaces | None = None

    def find(self, wanted: Wanted) -> Packed | None:
        from modelpack.build import find_known, nowhere

        shipped = self.shipped.find if self.shipped else nowhere
        found: Pack | Packed | None = find_known(self.request(wanted), self.home, shipped)
        return found if isinstance(found, Packed) or found is None else summarize(found)

    def build(
        self, wanted: Wanted, progress: Progress, *, regate: bool, base: Mapping[str, Any] | None = None
    ) -> Packed:
        from modelpack.build import build

        place = self.find_place(wanted, base)
        found = build(self.request(wanted, regate), self.home, progress, self.shipped, place)
        return found if isinstance(found, Packed) else summarize(found)

    def pack(
        self,
        wanted: Wanted,
        progress: Progress,
        *,
        regate: bool = False,
        base: Mapping[str, Any] | None = None,
    ) -> Pack:
        """The whole pack, with its record: known from the same inputs, or built here."""
        from modelpack.build import build

        return build(self.request(wanted, regate), self.home, progress, place=self.find_place(wanted, base))

    def find_place(self, wanted: Wanted, base: Mapping[str, Any] | None) -> TrainingPlace | None:
        """Where the model is trained; None: here. Raises BadInput where the base stack has nothing for it."""
        if not wanted.trains_elsewhere:
            return None
        if self.places is None or not (base and base.get("training_role_arn")):
            raise BadInput(
                "model.train.on: sagemaker needs a repository, a bucket and a role, and the base stack has none yet",
                hint="ecomdeploy up makes them, and trains",
            )
        return self.places(wanted, base)

    def request(self, wanted: Wanted, regate: bool = False) -> PackRequest:
        from modelpack.build import PackRequest

        spec, instance = wanted.spec, wanted.hosts.instance(wanted.serving.instance)
        return PackRequest(
            usecase=spec.usecase,
            model=spec.model,
            pack=spec.pack,
            data=spec.data,
            instance=instance.name,
            project=self.project,
            regate=regate,
            usd_hour=instance.usd_hour,
            hardware=CUDA if instance.gpu else CPU,
        )


def summarize(pack: Pack) -> Packed:
    """What a release keeps of its pack."""
    return Packed(
        digest=pack.digest,
        content_digest=pack.content_digest,
        input_digest=pack.input_digest,
        usecase=pack.usecase,
        golden=tuple(
            msgspec.to_builtins({"request": each.request, "answer": each.answer}) for each in pack.golden
        ),
        tolerance=msgspec.to_builtins(pack.tolerance),
        needs=msgspec.to_builtins(pack.record.get("needs", {})),
        guardrails={name: float(one["limit"]) for name, one in pack.record.get("guardrails", {}).items()},
    )
