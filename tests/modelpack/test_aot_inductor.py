"""AOTInductor is measured and never served: equal answers, its reason in the verdict, what it needs, why no image."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_usecase import ITEMS, Tiny

from modelpack.errors import BadInput, EcomdeployError
from modelpack.formats.variant import AOT, ONNX, TORCH, Variant
from modelpack.gate.trial import Trials, through_the_gate
from modelpack.inputs.lock import Lock
from modelpack.inputs.resolve import PackRequest, resolve
from modelpack.inputs.spec import GateSpec, ModelSpec, PackSpec, TrainSpec
from modelpack.passes.aot_inductor import AotInductor, compiled
from modelpack.passes.base import PassContext, applicable, in_order, lacking
from modelpack.progress import Silent
from modelpack.runtimes.base import runtime_for, served_formats


def data() -> tuple[np.ndarray, np.ndarray]:
    items = np.arange(1, ITEMS, dtype=np.int64)
    return items, (items * 7 + 3) % ITEMS


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Variant:
    path = tmp_path_factory.mktemp("trained") / "model.safetensors"
    Tiny().save(Tiny().train(data(), TrainSpec(), Silent()), path)
    return Variant(TORCH, path)


@pytest.fixture(scope="module")
def package(trained: Variant, tmp_path_factory: pytest.TempPathFactory) -> Variant:
    if lacking(AotInductor()):
        pytest.skip("there is no C++ compiler here")
    folder = tmp_path_factory.mktemp("compiled")
    return AotInductor().apply(trained, PassContext(Tiny(), Tiny().examples(data(), 64), folder))


class Once(AotInductor):
    """The package made already: compiling takes ten seconds."""

    made: Variant

    def apply(self, variant: Variant, context: PassContext) -> Variant:
        return self.made


@pytest.mark.slow
def test_it_answers_as_torch_does(trained: Variant, package: Variant) -> None:
    assert (package.format, list(package.files)) == (AOT, ["model.pt2"])
    run, before = runtime_for(AOT).open(package, Tiny()), runtime_for(TORCH).open(trained, Tiny())
    for count in (1, 2, 64):
        given = {"item": np.arange(1, count + 1, dtype=np.int64)}
        got, want = run(given), before(given)
        assert (got["next"] == want["next"]).all()
        np.testing.assert_allclose(got["score"], want["score"], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_the_gate_tells_what_it_would_bring_and_drops_it(
    trained: Variant, package: Variant, tmp_path: Path
) -> None:
    one = Once()
    one.made = package
    every = (one, *in_order(["onnx"], tmp_path))
    trials = Trials(Tiny(), data(), trained, tmp_path, Silent())
    judged = through_the_gate(trials, every, GateSpec())
    verdict = judged.verdicts[0]
    assert (verdict.name, verdict.kept) == ("aot-inductor", False)
    assert "measured only, its runtime needs libtorch (" in verdict.reason
    assert "one request" in verdict.reason
    assert verdict.measured is not None
    assert verdict.measured.metric == 1.0
    assert verdict.measured.size_mb == pytest.approx(package.size_mb, abs=1e-3)
    assert (judged.variant.format, judged.variant.passes) == (ONNX, ("onnx",))


@pytest.mark.slow
def test_its_bytes_say_where_they_were_made(package: Variant) -> None:
    """Why no image may hold it: another checkout would make another image of the same model."""
    import torch

    headers = str(Path(torch.__file__).parent / "include").encode()
    assert headers in package.path.read_bytes()


def test_no_image_can_hold_it_and_no_search_pays_for_it(tmp_path: Path) -> None:
    assert AOT not in served_formats()
    assert "aot-inductor" not in applicable(("onnx", "aot-inductor"), served_formats(), tmp_path)
    request = PackRequest(
        "recommendation", ModelSpec(), PackSpec(passes=("onnx",)), "ml.c7i.xlarge", tmp_path
    )
    inputs = resolve(request)
    lock = Lock().having("verdict", inputs.verdict_digest, {"format": AOT, "kept": ["aot-inductor"]})
    assert inputs.pack_digest(lock) is None


def test_where_there_is_no_compiler_it_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = PackSpec(passes=("aot-inductor", "onnx"))
    request = PackRequest("recommendation", ModelSpec(), asked, "ml.c7i.xlarge", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput, match=r"'aot-inductor' needs g\+\+, not installed") as refused:
        resolve(request)
    assert refused.value.hint == "apt-get install g++; or leave the pass out"


def test_the_compiler_names_the_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = PackSpec(passes=("aot-inductor", "onnx"))
    request = PackRequest("recommendation", ModelSpec(), asked, "ml.c7i.xlarge", tmp_path)
    compiler, said = tmp_path / "g++", set()
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for version in ("12", "13"):
        compiler.write_text(f"#!/bin/sh\necho g++ {version}\n")
        compiler.chmod(0o755)
        inputs = resolve(request)
        assert inputs.tools["g++"] == f"g++ {version}"
        said.add(inputs.verdict_digest)
    assert len(said) == 2


@pytest.mark.slow
def test_what_does_not_compile_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "exported.pt2").write_bytes(b"nothing of the kind")
    with pytest.raises(EcomdeployError, match=r"it does not compile: \w+"):
        compiled(tmp_path / "exported.pt2", tmp_path / "model.pt2", tmp_path)


def test_what_is_no_package_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "model.pt2").write_bytes(b"nothing of the kind")
    with pytest.raises(BadInput, match="libtorch cannot load it"):
        runtime_for(AOT).open(Variant(AOT, tmp_path / "model.pt2"), Tiny())


def test_looking_passes_up_does_not_import_torch(repository: Path) -> None:
    script = (
        "import sys\nfrom modelpack.passes.base import passes\nfrom modelpack.runtimes.base import runtime_for\n"
        "print(passes().get('aot-inductor').gives, runtime_for('aot').name, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=repository, check=True
    )
    assert done.stdout.split() == ["aot", "aotinductor", "False"]
