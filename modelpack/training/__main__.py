"""`python -m modelpack.training`: what runs in a training container (container.py). Exit status 0 when the model is
written, 1 when it failed (why is in output/failure), 143 when it was told to stop: it goes on from its checkpoints when
it is started again."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from modelpack.errors import EcomdeployError
from modelpack.home import Home
from modelpack.training.asked import AskedTraining
from modelpack.training.container import PACKAGES, PROJECT, ROOT, VARIABLE, TrainingFolders
from modelpack.training.lineage import MODEL, NAME

STOPPED = 128 + signal.SIGTERM
STEPS = 20
"""Lines of a bar: the log of a job is read by people."""


@dataclass(frozen=True)
class JobLog:
    """Progress as lines of the job's log."""

    def step(self, title: str) -> None:
        print(title, flush=True)

    def note(self, line: str) -> None:
        print(f"  {line}", flush=True)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.note(title)
        for row in (columns, *rows):
            self.note(" | ".join(row))

    @contextmanager
    def track(self, title: str, total: float, unit: str) -> Iterator[Callable[[float], None]]:
        done, told = 0.0, 0

        def advance(amount: float) -> None:
            nonlocal done, told
            done += amount
            if (now := int(STEPS * done / total) if total else STEPS) > told:
                told = now
                self.note(f"{title}: {100 * now // STEPS} % of {total:.0f} {unit}")

        yield advance


def main(environment: Mapping[str, str], on_kept: Callable[[str], None] = lambda name: None) -> int:
    """`on_kept` is called after each checkpoint."""
    folders = TrainingFolders(Path(environment.get(VARIABLE) or ROOT))
    try:
        run(folders, on_kept)
    except EcomdeployError as error:
        folders.fail(f"{error}{f' ({error.hint})' if error.hint else ''}")
        print(f"failed: {error}", file=sys.stderr, flush=True)
        return 1
    except Exception as error:
        traceback.print_exc()
        folders.fail(f"{type(error).__name__}: {error}")
        return 1
    return 0


def stop(number: int, frame: object) -> NoReturn:
    """What is kept is kept: nothing more is written."""
    print("told to stop; what was kept is gone on with", flush=True)
    os._exit(STOPPED)


def run(folders: TrainingFolders, on_kept: Callable[[str], None]) -> None:
    """The model and its lineage into the model folder. Raises EcomdeployError."""
    from modelpack.training.train import prepare_data, train
    from modelpack.usecases.checkpoints import KeptCheckpoints

    progress = JobLog()
    asked = AskedTraining.read(folders.hyperparameters())
    if len(folders.hosts()) > 1:
        raise EcomdeployError(f"the job has {len(folders.hosts())} hosts, and training is on one")
    inputs = asked.resolve(folders.channel(PROJECT))
    asked.refuse_other(inputs)
    with tempfile.TemporaryDirectory() as work:
        cache = Path(work) / "cache"
        cache.mkdir()
        if folders.channel(PACKAGES).is_dir():
            (cache / "downloads").symlink_to(folders.channel(PACKAGES).absolute())
        progress.step("Preparing data")
        data, _ = prepare_data(inputs, Home(Path(work), cache), progress)
        folders.model.mkdir(parents=True, exist_ok=True)
        kept = KeptCheckpoints(folders.checkpoints, progress.note, on_kept)
        # under another name first: a model folder is never taken up with half a model in it
        unfinished = Path(work) / MODEL
        lineage = train(inputs, data, unfinished, progress, kept)
        (folders.model / MODEL).write_bytes(unfinished.read_bytes())
        lineage.write(folders.model / NAME)
    progress.step("Trained")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    sys.exit(main(os.environ))
