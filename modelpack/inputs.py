"""Everything that decides a pack, resolved and named by digests, without loading torch, onnx or pandas.

A digest covers contents, never paths: another checkout with the same files has the same digest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import modelpack
from modelpack.digests import digest, source_digest, sources_of
from modelpack.errors import BadInput
from modelpack.lock import Lock
from modelpack.passes.base import Pass, applicable, in_order
from modelpack.runtimes.base import Runtime, runtimes
from modelpack.sources.base import check, content_digest
from modelpack.spec import ModelSpec, PackSpec, TrainSpec, as_data
from modelpack.usecases.base import UseCase, usecases

TOOLS = ("numpy", "onnx", "onnxruntime", "onnxscript", "safetensors", "torch")
TRAINING_TOOLS = ("numpy", "pandas", "pyarrow", "torch")
MEASURING = ("usecases", "tabular", "passes", "runtimes", "sources", "bench")
MEASURING_FILES = (
    "answers.py",
    "automatic.py",
    "draft.py",
    "gate.py",
    "golden.py",
    "metrics.py",
    "search.py",
    "server/text.py",
    "trial.py",
    "verdict.py",
)
"""What a verdict rests on; the rest of our code decides the image only."""
ACCELERATED = re.compile(r"^(ml\.)?(g|p|inf|trn)\d")


@dataclass(frozen=True)
class PackRequest:
    """What is asked for. `project` is the folder of `ecomdeploy.yaml`; `regate` sets the lock's verdict aside;
    `usd_hour` is the instance's price on demand, None where there is no figure."""

    usecase: str
    model: ModelSpec
    pack: PackSpec
    instance: str
    project: Path
    regate: bool = False
    usd_hour: float | None = None


@dataclass(frozen=True)
class Inputs:
    """A request with every name resolved and every default filled in."""

    request: PackRequest
    usecase: UseCase[Any]
    passes: tuple[Pass, ...]
    runtime: Runtime
    train: TrainSpec
    model_path: Path | None

    @cached_property
    def training_digest(self) -> str:
        """Names a trained model: the use case's code and data, the training options, the training tools."""
        return digest(
            {
                "sources": source_digest(sources_of(self.usecase)),
                "data": [package.sha256 for package in self.usecase.packages],
                "train": as_data(self.train),
                "tools": {name: version(name) for name in (*TRAINING_TOOLS, *self.usecase.training_tools)},
            }
        )

    @cached_property
    def verdict_digest(self) -> str:
        """Names what a verdict was measured on: model, passes, limits, the code that measures, the tools."""
        model = (
            {"file": content_digest(self.model_path)}
            if self.model_path
            else {"trained": self.training_digest}
        )
        own = Path(modelpack.__file__).parent
        ours = [
            *(own / name for name in MEASURING_FILES),
            *(file for name in MEASURING for file in (own / name).rglob("*.py")),
        ]
        plugged = [
            path
            for one in (self.usecase, *self.passes)
            for path in sources_of(one)
            if own not in path.parents
        ]
        return digest(
            {
                "usecase": self.request.usecase,
                "model": model,
                "passes": [one.name for one in self.passes],
                "gate": as_data(self.request.pack.gate),
                "search": searching(self.request.pack),
                "sources": source_digest(ours),
                "plugged": source_digest(plugged),
                "tools": {name: version(name) for name in TOOLS},
                "runtime": self.runtime.name,
            }
        )

    @cached_property
    def debs_digest(self) -> str:
        """Names what the base's lock was made for."""
        return digest({"suite": self.runtime.debian_suite, "packages": self.runtime.debian_packages})

    @cached_property
    def wheels_digest(self) -> str:
        """Names what the wheels' lock was made for."""
        return digest({"requirements": self.requirements, "unneeded": sorted(self.unneeded)})

    @property
    def requirements(self) -> tuple[str, ...]:
        """The image's wheels: the runtime's and the use case's."""
        return (*self.runtime.requirements(), *self.usecase.requirements)

    @property
    def unneeded(self) -> frozenset[str]:
        """Distributions that these declare but serving never imports."""
        return self.runtime.unneeded | self.usecase.unneeded

    def pack_digest(self, lock: Lock) -> str | None:
        """Names the pack; None while the lock lacks something it needs, for then the bytes are not known yet."""
        verdict = lock.get("verdict", self.verdict_digest)
        base = self.request.pack.base or lock.get("debs", self.debs_digest)
        wheels = lock.get("wheels", self.wheels_digest)
        if verdict is None or base is None or wheels is None:
            return None
        return digest(
            {
                "for": self.verdict_digest,
                "kept": verdict.get("kept"),
                "base": base,
                "wheels": wheels,
                "image": self.image_digest,
            }
        )

    @cached_property
    def image_digest(self) -> str:
        """Names the code that goes into the image, and the code that writes it: the server's change is a new image."""
        from modelpack import contents

        own = Path(modelpack.__file__).parent
        writing = [own / "contents.py", own / "assembly.py", *(own / "image").rglob("*.py")]
        return source_digest([*contents.app().values(), *writing])


def resolve(request: PackRequest) -> Inputs:
    """Names to things. Raises BadInput for unknown names, a missing model file, an instance no pack is made for."""
    usecase = usecases().get(request.usecase, request.project)
    runtime = runtimes().get(usecase.runtime)
    names = usecase.passes if request.pack.passes is None else request.pack.passes
    if request.pack.automatic:
        names = applicable(usecase.passes, runtime.format, request.project)
    if ACCELERATED.match(request.instance):
        raise BadInput(
            f"{request.instance} is a GPU or accelerator instance, and packs are made for the CPU so far",
            hint="choose a CPU instance, for example serve.instance: ml.c7i.xlarge",
        )
    path = None
    if request.model.path is not None:
        path = request.project / request.model.path
        check(path)
    train = request.model.train or TrainSpec()
    return Inputs(
        request=request,
        usecase=usecase,
        passes=in_order(names, request.project),
        runtime=runtime,
        train=TrainSpec(epochs=train.epochs or usecase.epochs, seed=train.seed),
        model_path=path,
    )


def searching(pack: PackSpec) -> dict[str, Any] | None:
    """What a search depends on beside the passes; None when there is none."""
    return {"budget": pack.budget, "objective": pack.objective} if pack.automatic else None
