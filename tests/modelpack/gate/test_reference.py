"""The model to start from: trained once, however many processes ask for it at the same moment."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from tiny_usecase import Tiny
from waiting import SECONDS

from modelpack.gate.reference import train_or_reuse
from modelpack.home import Home
from modelpack.inputs.resolve import PackRequest, resolve
from modelpack.inputs.spec import ModelSpec, PackSpec, TrainSpec
from modelpack.progress import Progress, Silent


class Slow(Tiny):
    """Trains until somebody else waits for it."""

    def __init__(self) -> None:
        self.trainings = 0
        self.awaited = threading.Event()

    def train(self, data: Any, spec: TrainSpec, progress: Progress) -> Any:
        self.trainings += 1
        assert self.awaited.wait(SECONDS)
        return super().train(data, spec, progress)


class Waiting(Silent):
    """Tells the training one as soon as it is told to wait."""

    def __init__(self, training: threading.Event) -> None:
        super().__init__()
        self.training = training

    def note(self, text: str) -> None:
        super().note(text)
        if "waiting" in text:
            self.training.set()


def test_who_comes_while_it_is_trained_waits_and_takes_it(tmp_path: Path) -> None:
    usecase, home = Slow(), Home(tmp_path, tmp_path / "cache")
    request = PackRequest("fraud", ModelSpec(), PackSpec(), "ml.c7i.xlarge", tmp_path)
    inputs, data = replace(resolve(request), usecase=usecase), usecase.prepare(home, Silent())
    told = [Waiting(usecase.awaited) for _ in range(2)]
    paths: list[Path] = []

    def ask(progress: Progress) -> None:
        paths.append(train_or_reuse(inputs, data, home, progress)[0])

    asking = [threading.Thread(target=ask, args=(progress,)) for progress in told]
    for one in asking:
        one.start()
    for one in asking:
        one.join(SECONDS)
    assert usecase.trainings == 1
    assert len(paths) == 2
    assert len(set(paths)) == 1
    (waited,) = [one for one in told if any("waiting" in line for line in one.lines)]
    assert waited.lines[-1] == "the model was trained before; taken from the cache"
    assert not list(home.models.glob("*.new"))
