"""What was measured and locked before is found again by what it holds for; what `pack.lock` says counts more."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from modelpack.errors import BadInput
from modelpack.formats.variant import ONNX, Variant
from modelpack.gate.reference import Reference
from modelpack.gate.verdict import choose
from modelpack.inputs.lock import Lock
from modelpack.inputs.remembered import Remembered
from modelpack.inputs.resolve import Inputs, PackRequest, resolve
from modelpack.inputs.spec import GateSpec, ModelSpec, PackSpec
from modelpack.progress import Progress, Silent

MADE = Variant(ONNX, Path("made/model.onnx"))
STRICT = PackSpec(gate=GateSpec(metric_drop=0.001))


def asked(project: Path, **changes: Any) -> Inputs:
    plain = PackRequest("recommendation", ModelSpec(), PackSpec(), "ml.c7i.xlarge", project)
    return resolve(replace(plain, **changes))


class FakeTrials:
    """Makes the same variant from whatever passes, which answers as it should."""

    def again(self, kept: object) -> Variant:
        return MADE

    def agree(self, variant: Variant) -> None:
        pass


REFERENCE = Reference(FakeTrials(), "sha of the model")  # type: ignore[arg-type]


@dataclass
class Gate:
    """Counts measurements; each comes to a metric of its own."""

    count: int = 0
    inputs: list[str] = field(default_factory=list)

    def measure(
        self, inputs: Inputs, reference: Reference, progress: Progress
    ) -> tuple[Variant, dict[str, Any]]:
        self.count += 1
        kept = [one.name for one in inputs.passes]
        return MADE, {"kept": kept, "format": ONNX, "metric": self.count, "model": reference.model_sha256}


def decide(inputs: Inputs, lock: Lock, remembered: Remembered, gate: Gate) -> Lock:
    """As `build` does."""
    remembered.keep(lock)
    whole = remembered.complete(inputs, lock, packages=False)
    return choose(inputs, whole, REFERENCE, remembered, Silent(), gate.measure)[1]


def test_a_verdict_once_measured_is_kept(tmp_path: Path) -> None:
    remembered, gate = Remembered(tmp_path / "locked"), Gate()
    first = decide(asked(tmp_path), Lock(), remembered, gate)
    other = decide(asked(tmp_path, pack=STRICT), first, remembered, gate)
    assert (gate.count, other.verdict == first.verdict) == (2, False)
    assert decide(asked(tmp_path), other, remembered, gate) == first
    assert decide(asked(tmp_path / "another project"), Lock(), remembered, gate) == first
    assert decide(asked(tmp_path, pack=STRICT), first, remembered, gate) == other
    assert gate.count == 2


def test_a_verdict_from_a_colleague_is_kept_too(tmp_path: Path) -> None:
    """It came with pack.lock, and the spec is changed before anything is packed here."""
    remembered, gate = Remembered(tmp_path / "locked"), Gate()
    theirs = decide(asked(tmp_path), Lock(), Remembered(tmp_path / "theirs"), gate)
    other = decide(asked(tmp_path, pack=STRICT), theirs, remembered, gate)
    assert decide(asked(tmp_path), other, remembered, gate) == theirs
    assert gate.count == 2


def test_regating_measures_anew_and_replaces_what_was_remembered(tmp_path: Path) -> None:
    remembered, gate = Remembered(tmp_path / "locked"), Gate()
    first = decide(asked(tmp_path), Lock(), remembered, gate)
    second = decide(asked(tmp_path, regate=True), first, remembered, gate)
    assert (gate.count, second == first) == (2, False)
    assert decide(asked(tmp_path), Lock(), remembered, gate) == second
    assert gate.count == 2


def test_what_pack_lock_says_counts_more_than_what_is_remembered(tmp_path: Path) -> None:
    remembered, gate, inputs = Remembered(tmp_path / "locked"), Gate(), asked(tmp_path)
    decide(inputs, Lock(), remembered, gate)
    theirs = decide(inputs, Lock(), Remembered(tmp_path / "theirs"), gate)
    assert decide(inputs, theirs, remembered, gate) == theirs
    assert decide(inputs, Lock(), remembered, gate) == theirs


def test_packages_are_remembered_beside_a_lock_and_those_of_today_taken_without_one(tmp_path: Path) -> None:
    remembered, inputs = Remembered(tmp_path / "locked"), asked(tmp_path)
    lock = decide(inputs, Lock(), remembered, Gate())
    served = inputs.find_locked_environment(lock)
    assert served is not None
    whole = lock.having("debs", served.debs_digest, {"packages": [1]})
    whole = whole.having("wheels", served.wheels_digest, {"packages": [2]})
    remembered.keep(whole)
    moved = whole.having("debs", "sha256:other", {}).having("wheels", "sha256:other", {})
    assert remembered.complete(inputs, moved, packages=True) == whole
    assert remembered.complete(inputs, moved, packages=False) == moved
    assert remembered.complete(inputs, Lock(), packages=False) == lock


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"for": "sha256:other"}'])
def test_what_is_damaged_is_said(tmp_path: Path, text: str) -> None:
    remembered = Remembered(tmp_path)
    remembered.keep(Lock().having("verdict", "sha256:a", {"kept": []}))
    remembered.path("verdict", "sha256:a").write_text(text)
    with pytest.raises(BadInput, match="damaged") as caught:
        remembered.recall(Lock(), "verdict", "sha256:a")
    assert "delete" in caught.value.hint
