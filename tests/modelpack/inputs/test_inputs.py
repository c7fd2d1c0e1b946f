"""What names a pack: contents, not paths; and what is refused before anything is loaded."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from modelpack.errors import BadInput
from modelpack.formats.variant import ONNX, TORCH
from modelpack.inputs.lock import Lock
from modelpack.inputs.resolve import PackRequest, resolve
from modelpack.inputs.spec import GateSpec, ModelSpec, PackSpec, TrainSpec

SCRIPT = """
from pathlib import Path
from modelpack.inputs.resolve import PackRequest, resolve
from modelpack.inputs.spec import ModelSpec, PackSpec
inputs = resolve(PackRequest("recommendation", ModelSpec(), PackSpec(), "ml.c7i.xlarge", Path()))
print(inputs.verdict_digest, inputs.training_digest)
"""

NEEDY = """
from modelpack.passes.base import COMPILED, Pass

class Needy(Pass):
    name, title, stage, takes, gives, about = "needy", "needy", COMPILED, "onnx", "onnx", "-"
    tools = ("no-such-tool",)

    def apply(self, variant, context):
        return variant
"""


def request(project: Path) -> PackRequest:
    return PackRequest("recommendation", ModelSpec(), PackSpec(), "ml.c7i.xlarge", project)


def full_lock(asked: PackRequest) -> Lock:
    inputs = resolve(asked)
    served = inputs.find_environment(ONNX)
    lock = Lock().having("verdict", inputs.verdict_digest, {"kept": ["onnx"], "format": ONNX})
    lock = lock.having("debs", served.debs_digest, {"packages": []})
    return lock.having("wheels", served.wheels_digest, {"packages": []})


def test_another_checkout_of_the_same_files_has_the_same_digests(repository: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(
        repository / "modelpack", copy / "modelpack", ignore=shutil.ignore_patterns("__pycache__")
    )

    def digests(folder: Path) -> str:
        command = [sys.executable, "-c", SCRIPT]
        return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=True).stdout

    assert digests(copy) == digests(copy.parent / "elsewhere")
    before = digests(copy)
    timing = copy / "modelpack" / "gate" / "timing.py"
    timing.write_text(timing.read_text() + "\n# another way to measure\n")
    after = digests(copy)
    assert before.split()[0] != after.split()[0]
    assert before.split()[1] == after.split()[1]


def test_the_project_s_folder_does_not_matter(tmp_path: Path) -> None:
    assert resolve(request(tmp_path / "a")).verdict_digest == resolve(request(tmp_path / "b")).verdict_digest


@pytest.mark.parametrize(
    "other",
    [
        {"model": ModelSpec(train=TrainSpec(epochs=9))},
        {"model": ModelSpec(train=TrainSpec(seed=8))},
        {"pack": PackSpec(passes=())},
        {"pack": PackSpec(gate=GateSpec(metric_drop=0.1))},
    ],
)
def test_what_changes_the_pack_changes_its_name(tmp_path: Path, other: dict[str, object]) -> None:
    changed = replace(request(tmp_path), **other)  # type: ignore[arg-type]
    assert resolve(changed).verdict_digest != resolve(request(tmp_path)).verdict_digest


def test_another_cpu_instance_needs_no_other_pack(tmp_path: Path) -> None:
    bigger = replace(request(tmp_path), instance="ml.m5.4xlarge")
    assert resolve(bigger).verdict_digest == resolve(request(tmp_path)).verdict_digest


def test_defaults_written_out_are_still_defaults(tmp_path: Path) -> None:
    plain = resolve(request(tmp_path))
    names = tuple(one.name for one in plain.passes)
    model = ModelSpec(train=TrainSpec(epochs=plain.train.epochs))
    written = replace(request(tmp_path), model=model, pack=PackSpec(passes=names))
    assert resolve(written).verdict_digest == plain.verdict_digest


def test_a_pack_has_no_name_before_everything_is_locked(tmp_path: Path) -> None:
    asked = request(tmp_path)
    inputs, lock = resolve(asked), full_lock(asked)
    named = inputs.pack_digest(lock)
    assert named
    assert inputs.pack_digest(Lock()) is None
    assert inputs.pack_digest(replace(lock, wheels=None)) is None
    other = lock.having("verdict", inputs.verdict_digest, {"kept": [], "format": ONNX})
    assert inputs.pack_digest(other) not in (None, named)


@pytest.mark.parametrize(
    "verdict", [{"kept": []}, {"kept": [], "format": TORCH}, {"kept": [], "format": "x"}]
)
def test_a_verdict_in_a_format_that_nothing_serves_names_no_pack(
    tmp_path: Path, verdict: dict[str, object]
) -> None:
    inputs, lock = resolve(request(tmp_path)), full_lock(request(tmp_path))
    assert inputs.pack_digest(lock.having("verdict", inputs.verdict_digest, verdict)) is None


def test_a_pass_whose_tool_is_not_installed_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(NEEDY)
    with pytest.raises(BadInput, match="needs no-such-tool, not installed"):
        resolve(replace(request(tmp_path), pack=PackSpec(passes=("onnx", "./mine.py:Needy"))))


def test_a_model_file_is_named_by_content(tmp_path: Path) -> None:
    asked = replace(request(tmp_path), model=ModelSpec(path="model.onnx"))
    (tmp_path / "model.onnx").write_bytes(b"one")
    first = resolve(asked).verdict_digest
    (tmp_path / "model.onnx").write_bytes(b"two")
    assert resolve(asked).verdict_digest != first


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"usecase": "recomendation"}, "unknown use case"),
        ({"pack": PackSpec(passes=("int9",))}, "unknown pass"),
        ({"model": ModelSpec(path="none.onnx")}, "no such model file"),
        ({"model": ModelSpec(path="model.pkl")}, "unknown model format"),
    ],
)
def test_what_cannot_be_packed_is_refused_at_once(
    tmp_path: Path, other: dict[str, object], words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        resolve(replace(request(tmp_path), **other))  # type: ignore[arg-type]


def test_asking_what_is_known_loads_nothing_heavy(repository: Path, tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom modelpack.build import PackRequest, find_known\n"
        "from modelpack.home import Home\nfrom modelpack.inputs.spec import ModelSpec, PackSpec\n"
        f"here = Path({str(tmp_path)!r})\n"
        "request = PackRequest('recommendation', ModelSpec(), PackSpec(), 'ml.c7i.xlarge', here)\n"
        "assert find_known(request, Home(here, here)) is None\n"
        "print([name for name in ('torch', 'onnx', 'onnxruntime', 'pandas', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=repository, check=True
    )
    assert done.stdout.strip() == "[]"
    assert not list(tmp_path.iterdir())
