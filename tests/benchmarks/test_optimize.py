"""A peer is the trained model: what AOTInductor compiles answers as torch does."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_usecase import Tiny

from benchmarks.optimize import compiled_ahead
from modelpack.formats.variant import TORCH, Variant
from modelpack.gate.reference import Reference
from modelpack.gate.trial import Trials
from modelpack.home import Home
from modelpack.inputs.spec import TrainSpec
from modelpack.progress import Silent


@pytest.mark.nightly(like="tests/modelpack/gate/test_served_as_asked.py::test_programs_answer_as_torch")
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler here")
def test_what_aot_inductor_compiles_answers_as_torch_does(home: Home, tmp_path: Path) -> None:
    usecase = Tiny()
    data = usecase.prepare(home, Silent())
    path = tmp_path / "trained" / "model.safetensors"
    path.parent.mkdir()
    usecase.save(usecase.train(data, TrainSpec(), Silent()), path)
    trials = Trials(usecase, data, Variant(TORCH, path), tmp_path, Silent())
    peer, torch = compiled_ahead(Reference(trials, "sha256:0"), usecase), trials.run(trials.reference)
    for count in (1, 2, 64):
        given = {"item": np.arange(1, count + 1, dtype=np.int64)}
        got, want = peer.run(given), torch(given)
        assert (got["next"] == want["next"]).all()
        np.testing.assert_allclose(got["score"], want["score"], rtol=1e-5, atol=1e-6)
