"""The model to start from: the user's file, or one trained here, now or before."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelpack.digests import sha256_of
from modelpack.errors import BadInput, EcomdeployError
from modelpack.formats.variant import TORCH, Variant
from modelpack.gate.answers import depend_on_others
from modelpack.gate.fidelity import TRAINED_HERE, Fidelity, check_fidelity, check_repeats
from modelpack.gate.rows_at_once import HINT, only_one
from modelpack.gate.trial import Trials
from modelpack.home import Home, hold_lock, write_atomically
from modelpack.language.task import decoding_of
from modelpack.progress import Progress
from modelpack.sources.base import open_model
from modelpack.training.lineage import MODEL, Lineage, read_lineage
from modelpack.training.place import TrainingPlace, check_brought
from modelpack.training.train import prepare_data, train
from modelpack.usecases.base import UseCase
from modelpack.usecases.checkpoints import KeptCheckpoints
from modelpack.usecases.optional.own_tables import OwnRows
from modelpack.usecases.own_model.given import GivenModel

if TYPE_CHECKING:
    from modelpack.inputs.resolve import Inputs


@dataclass(frozen=True)
class Reference:
    """A model with its data, ready to be tried; `model_sha256` names the very model. `own_rows`: what was read of the
    user's own data."""

    trials: Trials
    model_sha256: str
    own_rows: OwnRows = field(default_factory=OwnRows)
    company: str = ""
    """In what company its answers differed, so that it is served one row at a time; empty: in none."""
    fidelity: tuple[Fidelity, ...] = (TRAINED_HERE,)
    """Against whose answers a given model was held."""
    lineage: Lineage | None = None
    """What a trained model was made of; None: nobody wrote it down."""


def prepare(
    inputs: Inputs, home: Home, folder: Path, progress: Progress, place: TrainingPlace | None = None
) -> Reference:
    """The data, and the model: the user's file, or one trained now or before; at the `place`, else here."""
    lineage = None
    progress.step("Preparing data")
    data, own_rows = prepare_data(inputs, home, progress)
    if inputs.model_path is not None:
        reference = open_model(inputs.model_path, inputs.usecase, folder / "given", progress.note)
    else:
        (folder / "trained").mkdir()
        path = folder / "trained" / "model.safetensors"
        trained, lineage = train_or_reuse(inputs, data, home, progress, place)
        shutil.copyfile(trained, path)
        reference = Variant(TORCH, path)
    trials = Trials(inputs.usecase, data, reference, folder, progress, hardware=inputs.request.built_for)
    if inputs.model_path is not None:
        count_rows(inputs.usecase, trials, inputs.model_path)
        check_repeats(inputs.usecase, trials.run(reference), data, reference, inputs.model_path)
    if isinstance(inputs.usecase, GivenModel):
        inputs.usecase.learn_tolerance(trials.run(reference), data)
        for note in inputs.usecase.slips_told():
            progress.note(note)
    company = separate_rows(trials)
    fidelity = held_against(inputs, trials, folder)
    return Reference(trials, identity(reference), own_rows, company, fidelity, lineage)


def count_rows(usecase: UseCase[Any], trials: Trials, path: Path) -> None:
    """Have a given model asked one row at a time, where it takes no more. Raises BadInput where it must take more."""
    if usecase.max_batch == 1 or decoding_of(usecase):
        return
    why = only_one(usecase, trials.run(trials.reference), trials.data, path)
    if why and not isinstance(usecase, GivenModel):
        raise BadInput(f"the model takes one row at a time: {why}", where=str(path), hint=HINT)
    if why and isinstance(usecase, GivenModel):
        usecase.take_one_at_a_time()
        trials.progress.note(f"the model takes one row at a time and is served so: {why}")


def held_against(inputs: Inputs, trials: Trials, folder: Path) -> tuple[Fidelity, ...]:
    """Against whose answers the model was held, told. Raises BadInput when what was read is another model."""
    path = inputs.model_path
    if path is None:
        return (TRAINED_HERE,)
    trials.progress.step("Asking the model where it comes from")
    found = check_fidelity(inputs.usecase, trials.run(trials.reference), trials.data, path, folder)
    for one in found:
        trials.progress.note(one.words)
    return found


def separate_rows(trials: Trials) -> str:
    """Why requests may share no call, in words; empty where they may.

    A given model whose answers depend on their company is then asked row by row, here and in the server. Raises
    EcomdeployError for a model of ours: that is a fault of the use case.
    """
    usecase, run = trials.usecase, trials.run(trials.reference)
    company = depend_on_others(usecase, run, trials.data)
    if not company:
        return ""
    if not isinstance(usecase, GivenModel):
        raise EcomdeployError(f"the model's answer depends on the requests that share the call: {company}")
    usecase.take_one_at_a_time()
    usecase.learn_tolerance(run, trials.data)
    trials.progress.note(
        f"the model's answer to a request depends on the others in the call ({company}): it is served one at a time"
    )
    return company


def train_or_reuse(
    inputs: Inputs, data: Any, home: Home, progress: Progress, place: TrainingPlace | None = None
) -> tuple[Path, Lineage | None]:
    """The trained model's file in the cache, and what it was made of where that is known; trained, at the `place` or
    else here, when it is not there or is damaged, by one process at a time. A training here that was killed goes on.
    """
    path = home.models / f"{inputs.training_digest.removeprefix('sha256:')}.safetensors"
    checksum, beside = path.with_suffix(".sha256"), path.with_suffix(".lineage.json")
    with hold_lock(
        path.with_suffix(".lock"), lambda: progress.note("another process trains this model; waiting for it")
    ):
        if path.is_file() and checksum.is_file() and checksum.read_text() == sha256_of(path):
            progress.note("the model was trained before; taken from the cache")
            return path, read_lineage(beside.read_bytes(), str(beside)) if beside.is_file() else None
        work = path.with_suffix(".work")
        work.mkdir(parents=True, exist_ok=True)
        if place is None:
            kept = KeptCheckpoints(work, progress.note)
            lineage = train(inputs, data, work / MODEL, progress, kept)
        else:
            lineage = check_brought(inputs, work, place.train(inputs, home, work, progress))
        lineage.write(beside)
        (work / MODEL).replace(path)
        write_atomically(checksum, lineage.model.encode())
        shutil.rmtree(work, ignore_errors=True)
        return path, lineage


def identity(variant: Variant) -> str:
    """sha256 over the model's files, in order of their names."""
    named = [f"{name}\0{sha256_of(path)}\n" for name, path in variant.files.items()]
    return hashlib.sha256("".join(named).encode()).hexdigest()
