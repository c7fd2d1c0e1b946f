"""What libraries write is read, answers as they do, and tries nothing: under the audit hook that hostile files meet."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from benign import MADE, NAMES, NEEDS, ROWS
from given import Given
from watched import open_watched

from modelpack.formats.signature import Signature
from modelpack.runtimes.onnxruntime import OnnxRuntime
from modelpack.server.signature import Tensor

QUICK = ("xgboost binary", "lightgbm binary", "onnx")


LOOK_UPS = re.compile(r"subprocess\.Popen \('(/sbin/ldconfig|(\S*/)?(gcc|cc|ld))', \[.*('-p'|'-l\w+')\]\)")
"""What `ctypes.util` does to find a library when torch is imported: refused there, and no model's doing."""


class Named(Given):
    """Rows of four to a score each, or to three."""

    def __init__(self, name: str) -> None:
        three = name.endswith("three")
        default = ("X", "output_probability") if name.startswith("sklearn") else ("x", "p")
        self.input, self.output = NAMES.get(name, default)
        self.shape = (-1, 3) if three else (-1, 1) if name.startswith("sklearn") else (-1,)

    def signature(self) -> Signature:
        return Signature((Tensor(self.input, "FP32", (-1, 4)),), (Tensor(self.output, "FP32", self.shape),))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in MADE]
)
def test_it_loads_and_tries_nothing(tmp_path: Path, name: str) -> None:
    for module in NEEDS.get(name.split()[0], ()):
        pytest.importorskip(module, reason="needs the extra `originals`: make test-keras runs it")
    (tmp_path / "given").mkdir()
    path, wanted = MADE[name](tmp_path / "given")
    usecase = Named(name)
    tried: list[str] = []
    variant = open_watched(path, usecase, tmp_path / "taken", tried)
    assert [line for line in tried if not LOOK_UPS.fullmatch(line)] == []
    answered = OnnxRuntime().open(variant, usecase)({usecase.input: ROWS})[usecase.output]
    np.testing.assert_allclose(answered, np.reshape(wanted, answered.shape), rtol=2e-5, atol=2e-5)


def test_there_are_enough_of_them() -> None:
    """Without those of libraries that not every environment has."""
    assert len([name for name in MADE if name.split()[0] not in NEEDS]) >= 25
