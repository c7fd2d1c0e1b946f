"""A pack is for one hardware: its runtime, its passes, its lock, its price."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelpack.assembly.needs import Binding, from_data
from modelpack.build import PackRequest
from modelpack.gate.cost import add_prices
from modelpack.gate.measure import measurable
from modelpack.inputs import lock as locks
from modelpack.inputs.lock import Lock
from modelpack.inputs.resolve import resolve
from modelpack.inputs.spec import ModelSpec, PackSpec


def request(project: Path, hardware: str = "cuda", **pack: object) -> PackRequest:
    return PackRequest(
        usecase="recommendation",
        model=ModelSpec(),
        pack=PackSpec(**pack),  # type: ignore[arg-type]
        instance="ml.g6.xlarge",
        project=project,
        hardware=hardware,
    )


def test_the_instance_s_hardware_decides_unless_the_spec_does(tmp_path: Path) -> None:
    on_gpu, on_cpu = resolve(request(tmp_path)), resolve(request(tmp_path, "cpu"))
    assert on_gpu.find_environment("onnx").runtime.name == "onnxruntime-cuda"
    assert on_cpu.find_environment("onnx").runtime.name == "onnxruntime"
    assert on_gpu.verdict_digest != on_cpu.verdict_digest
    asked = PackSpec(passes=("onnx",), hardware="cpu")
    assert request(tmp_path).built_for == "cuda"
    assert (
        PackRequest("recommendation", ModelSpec(), asked, "ml.g6.xlarge", tmp_path, hardware="cuda").built_for
        == "cpu"
    )


def test_passes_of_other_hardware_are_set_aside_with_the_reason(tmp_path: Path) -> None:
    asked = resolve(request(tmp_path, passes=("embedding-int8", "int8", "fp16")))
    assert [one.name for one in asked.passes] == ["onnx", "fp16"]
    assert dict(asked.set_aside) == dict.fromkeys(("embedding-int8", "int8"), "it is for cpu, not for cuda")
    other = resolve(request(tmp_path, "cpu", passes=("int8", "fp16")))
    assert dict(other.set_aside) == {"fp16": "it is for cuda, not for cpu"}


def test_auto_offers_what_fits(tmp_path: Path) -> None:
    offered = {one.name for one in resolve(request(tmp_path, passes=("auto",))).passes}
    assert {"onnx", "fp16"} <= offered
    assert not offered & {"int8", "openvino"}
    assert "fp16" not in {one.name for one in resolve(request(tmp_path, "cpu", passes=("auto",))).passes}


def test_without_a_gpu_nothing_is_claimed_for_one(tmp_path: Path) -> None:
    passes, aside = measurable(resolve(request(tmp_path, passes=("int8", "fp16"))))
    assert [one.name for one in passes] == ["onnx"]
    assert dict(aside)["fp16"] == "not measured: it needs cuda, and this machine has none"
    on_cpu = resolve(request(tmp_path, "cpu", passes=("int8",)))
    assert measurable(on_cpu) == (on_cpu.passes, ())


def test_each_hardware_has_its_own_lock(tmp_path: Path) -> None:
    cpu, gpu = (Lock().having("verdict", f"sha256:{name}", {"kept": []}) for name in ("cpu", "gpu"))
    locks.write(tmp_path, cpu)
    locks.write(tmp_path, gpu, "cuda")
    assert locks.read(tmp_path) == cpu
    assert locks.read(tmp_path, "cuda") == gpu
    assert {path.name for path in tmp_path.iterdir()} == {"pack.lock", "pack.cuda.lock"}


@pytest.mark.parametrize(
    ("needs", "hardware", "cost"),
    [
        ("cpu", "1 thread of a CPU", 0.3125),
        ("cuda", "1 thread of a CPU", None),
        ("cuda", "NVIDIA L4 (compute capability 8.9, driver for CUDA 13.0)", 0.3125),
    ],
)
def test_a_gpu_instance_s_price_is_not_put_on_a_cpu_s_figures(
    needs: str, hardware: str, cost: float | None
) -> None:
    figures = {"rows_per_cpu_s": 1000.0, "hardware": hardware}
    record = {"needs": {"hardware": needs}, "reference": figures, "chosen": figures, "passes": []}
    assert add_prices(record, "ml.g6.xlarge", 1.125)["chosen"]["usd_per_million"] == cost


def test_a_cpu_pack_says_nothing_of_cuda() -> None:
    assert set(Binding().as_data()) == {"hardware", "platform", "instructions"}
    assert from_data({}) == Binding()
    assert "dev.ecomdeploy.cuda" not in Binding().labels()
