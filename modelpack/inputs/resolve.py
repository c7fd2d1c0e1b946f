"""Everything that decides a pack, resolved and named by digests, without loading torch, onnx or pandas.

A digest covers contents, never paths: another checkout with the same files has the same digest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

import modelpack
from modelpack.digests import digest, installed_version, sha256_of, source_digest
from modelpack.errors import BadInput
from modelpack.formats.variant import TORCH
from modelpack.home import Home
from modelpack.inputs.data_places import find_data, find_source
from modelpack.inputs.environment import ServingEnvironment
from modelpack.inputs.extras import need, to_install
from modelpack.inputs.lock import Lock
from modelpack.inputs.rests_on import Code, rests_on
from modelpack.inputs.server_files import app
from modelpack.inputs.spec import DataSpec, ModelSpec, PackSpec, TrainSpec
from modelpack.passes.base import (
    Pass,
    applicable,
    closure,
    in_order,
    lacking,
    of_use,
    unfit,
)
from modelpack.progress import Progress
from modelpack.runtimes.base import Runtime, runtime_for, runtimes, served_formats
from modelpack.runtimes.hardware import CPU
from modelpack.sources.base import Source, check, content_digest
from modelpack.usecases.base import UseCase, usecases
from modelpack.usecases.optional.complete import check_offers
from modelpack.usecases.optional.own_tables import OwnRows, own_data_of
from modelpack.usecases.optional.training import architectures_of
from modelpack.usecases.optional.transform import transform_source_of
from modelpack.usecases.own_data.files import tables_digest
from modelpack.usecases.own_data.schema import OwnData
from modelpack.usecases.own_model.given import GivenModel
from modelpack.usecases.packages import DataPackage

if TYPE_CHECKING:
    from modelpack.inputs.data.engine import DataSource

MEASURING = ("modelpack.gate.reference", "modelpack.gate.measure")
"""Where measuring begins: the model made ready, then judged."""
WRITING = (
    "modelpack.assembly.assemble",
    "modelpack.assembly.contents",
    "modelpack.assembly.needs",
    "modelpack.gate.record",
    "modelpack.image.assemble",
)
"""Where writing an image and its record begins."""
ENGINE = ("modelpack.inputs.data.reading",)
"""Where reading tables in an engine begins."""


@dataclass(frozen=True)
class PackRequest:
    """What is asked for. `project` is the folder of `ecomdeploy.yaml`; `regate` sets the lock's verdict aside;
    `usd_hour` is the instance's price on demand, None where there is no figure; `hardware` is what the instance has,
    "cpu" or "cuda", and what the pack is for unless `pack.hardware` says otherwise."""

    usecase: str
    model: ModelSpec
    pack: PackSpec
    instance: str
    project: Path
    data: DataSpec | None = None
    regate: bool = False
    usd_hour: float | None = None
    hardware: str = CPU

    @property
    def built_for(self) -> str:
        """The hardware that the image is for."""
        return self.pack.hardware or self.hardware


@dataclass(frozen=True)
class Inputs:
    """A request with every name resolved and every default filled in."""

    request: PackRequest
    usecase: UseCase[Any]
    passes: tuple[Pass, ...]
    train: TrainSpec
    model_path: Path | None
    set_aside: tuple[tuple[str, str], ...] = ()
    """Passes that were asked for and do not fit the hardware, with the reason."""
    data_path: Path | None = None
    """The user's own data that is read into memory; None: there is none such."""
    data_source: DataSource | None = None
    """Where the user's own tables lie that an engine reads; None: there are none such."""

    @property
    def own_tables(self) -> OwnData | None:
        """What the user's own tables hold; None where the use case's data is used, or there are no tables."""
        return own_data_of(self.usecase) if self.request.data is not None else None

    @property
    def packages(self) -> tuple[DataPackage, ...]:
        """The packages whose data is used."""
        return self.own_tables.packages if self.own_tables else self.usecase.packages

    @property
    def split(self) -> str:
        """What trains, chooses and measures, in words."""
        return self.own_tables.split if self.own_tables else self.usecase.split

    @property
    def unreadable(self) -> float:
        """The share of the rows of the user's tables that may be left out."""
        return self.request.data.unreadable if self.request.data else 0.0

    @cached_property
    def data_digest(self) -> str | None:
        """Names the user's own data by its content."""
        if self.data_source is not None:
            return self.data_source.digest()
        return tables_digest(self.data_path) if self.data_path else None

    @cached_property
    def data_read(self) -> Any:
        """What a model trained on the user's data, and its verdict, depend on."""
        if self.data_source is not None and self.request.data is not None:
            code = rests_on(ENGINE, [self.data_source])
            return [self.data_digest, dict(self.request.data.columns), code.digest, code.versions]
        return [self.data_digest, self.unreadable] if self.unreadable else self.data_digest

    @property
    def data_contract(self) -> list[Any]:
        """The rules that the user's data was held to, wherever in the spec they stand."""
        rules = self.request.data.contract if self.request.data else ()
        return [to_builtins(replace(one, line=0)) for one in rules]

    def prepare_source(self, home: Home, progress: Progress) -> tuple[Any, OwnRows]:
        """`UseCase.prepare` on the user's own tables where they lie. Raises BadInput, as `read_source`."""
        from modelpack.inputs.data.reading import prepare_source

        if self.data_source is None:
            raise BadInput("no own data is read by an engine", hint="data: {from: orders}")
        return prepare_source(
            self.usecase, self.data_source, self.request.data, home, progress, self.data_digest
        )

    @cached_property
    def training_code(self) -> Code:
        """What a trained model rests on."""
        return rests_on(plug_ins=[self.usecase])

    @cached_property
    def training_facts(self) -> tuple[str, dict[str, str | None]]:
        """The digest of that code, and its libraries by version."""
        return self.training_code.digest, self.training_code.versions

    @cached_property
    def measuring_code(self) -> Code:
        """What a verdict rests on: the gate, the use case, the passes, what executes them, what opens the model."""
        opened = [self.source] if self.source else []
        applied = [one for one in self.passes if one.takes in self.formats]
        return rests_on(MEASURING, [self.usecase, *applied, *self.executors, *opened])

    @cached_property
    def source(self) -> Source | None:
        """What opens the model; None where it is trained."""
        return check(self.model_path) if self.model_path else None

    @property
    def begins(self) -> frozenset[str]:
        """The formats that the model may come in: a graph that was given never goes through torch."""
        return self.source.gives if self.source else frozenset({TORCH})

    @cached_property
    def formats(self) -> frozenset[str]:
        """The formats that a variant of it may have."""
        return closure(self.begins, {(one.takes, one.gives) for one in self.passes})

    @cached_property
    def executors(self) -> tuple[Runtime, ...]:
        """Those that may execute a variant: on the pack's hardware, or on the CPU where the machine lacks it."""
        catalog = runtimes()
        every = [catalog.get(name) for name in catalog.names()]
        return tuple(
            one
            for one in every
            if one.format in self.formats and one.hardware in (CPU, self.request.built_for)
        )

    @cached_property
    def training_digest(self) -> str:
        """Names a trained model: the use case's code and data, the training options, the libraries."""
        code, libraries = self.training_facts
        return digest(
            {
                "sources": code,
                "data": [package.sha256 for package in self.packages],
                "own_data": self.data_read,
                "train": self.train.options,
                "libraries": libraries,
            }
        )

    @cached_property
    def verdict_digest(self) -> str:
        """Names what a verdict was measured on: model, passes, limits, the code that measures, the libraries."""
        model = (
            {"file": content_digest(self.model_path)}
            if self.model_path
            else {"trained": self.training_digest}
        )
        around = transform_source_of(self.usecase)
        return digest(
            {
                "usecase": self.request.usecase,
                "hardware": self.request.built_for,
                "model": model,
                "own_data": self.data_read,
                **({"contract": rules} if (rules := self.data_contract) else {}),
                "passes": [one.name for one in self.passes],
                "set_aside": [name for name, _ in self.set_aside],
                "gate": to_builtins(self.request.pack.gate),
                "search": searching(self.request.pack),
                "sources": self.measuring_code.digest,
                "libraries": self.libraries,
                **({"transform": sha256_of(around)} if around else {}),
            }
        )

    @cached_property
    def libraries(self) -> dict[str, str | None]:
        """The packages that a verdict rests on, by version; None: not installed."""
        named = {name: installed_version(name) for one in self.passes for name in one.tools}
        return {**self.measuring_code.versions, **named}

    def find_environment(self, chosen: str) -> ServingEnvironment:
        """What the image holds around a model of the `chosen` format."""
        return ServingEnvironment(runtime_for(chosen, self.request.built_for), self.usecase)

    def find_locked_environment(self, lock: Lock) -> ServingEnvironment | None:
        """What the image holds by the lock's verdict; None where it has none that can be served."""
        verdict = lock.get("verdict", self.verdict_digest)
        if verdict is None or verdict.get("format") not in served_formats(self.request.built_for):
            return None
        return self.find_environment(verdict["format"])

    def pack_digest(self, lock: Lock) -> str | None:
        """Names the pack; None while the lock lacks something it needs, for then the bytes are not known yet."""
        verdict, served = lock.get("verdict", self.verdict_digest), self.find_locked_environment(lock)
        if verdict is None or served is None:
            return None
        base = self.request.pack.base or lock.get_packages("debs", served.debs_digest)
        wheels = lock.get_packages("wheels", served.wheels_digest)
        if base is None or wheels is None:
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
        """Names the code that goes into the image, and what writes it: the server's change is a new image."""
        own = Path(modelpack.__file__).parent
        writing = rests_on(WRITING).files
        return source_digest(
            {*app(self.usecase).values(), *writing, own / "build.py", *(own / "assembly").glob("*.json")}
        )


def resolve(request: PackRequest) -> Inputs:
    """Names to things. Raises BadInput for unknown names and a missing model file."""
    usecase = usecases().get(request.usecase, request.project)
    check_offers(usecase)
    names = usecase.passes if request.pack.passes is None else request.pack.passes
    if request.pack.automatic:
        names = applicable(usecase.passes, served_formats(request.built_for), request.project)
        names = of_use(names, usecase, request.project)
    path = None
    if request.model.path is not None:
        path = request.project / request.model.path
        check(path)
    elif isinstance(usecase, GivenModel):
        raise BadInput(
            f"{request.usecase} trains nothing: it needs a model file",
            hint="model: {path: model.onnx} in ecomdeploy.yaml",
        )
    every = in_order(names, request.project)
    aside = {one.name: why for one in every if (why := unfit(one, request.built_for))}
    passes = tuple(one for one in every if one.name not in aside)
    for one in passes:
        if absent := lacking(one):
            raise BadInput(
                f"the pass {one.name!r} needs {', '.join(absent)}, not installed",
                hint=to_install(*absent),
            )
    train = request.model.train or TrainSpec()
    check_architecture(train, usecase)
    return Inputs(
        request=request,
        usecase=usecase,
        passes=passes,
        train=replace(train, epochs=train.epochs or usecase.epochs),
        model_path=path,
        set_aside=tuple(aside.items()),
        data_path=find_data(request.project, request.data, usecase),
        data_source=find_source(request.project, request.data, usecase),
    )


def check_installed(inputs: Inputs) -> None:
    """Raises BadInput where the model is one of torch and torch is not installed: before data is fetched for it."""
    if inputs.begins == {TORCH}:
        which = inputs.model_path.name if inputs.model_path else f"training {inputs.usecase.name}"
        need("torch", which)


def check_architecture(train: TrainSpec, usecase: UseCase[Any]) -> None:
    """Raises BadInput for an architecture that the use case does not have."""
    names = architectures_of(usecase)
    if train.architecture is None or train.architecture in names:
        return
    known = ", ".join(names)
    raise BadInput(
        f"model.train.architecture: {usecase.name} has no {train.architecture!r}",
        hint=f"one of {known}, or leave it out to compare them" if known else "leave it out",
    )


def searching(pack: PackSpec) -> dict[str, Any] | None:
    """What a search depends on beside the passes; None when there is none."""
    return {"budget": pack.budget, "objective": pack.objective} if pack.automatic else None
