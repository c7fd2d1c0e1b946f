"""Passes for GPUs: what can be shown without one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs
from tiny_usecase import ITEMS, Tiny

from modelpack.digests import sha256_of
from modelpack.formats.signature import Signature
from modelpack.formats.variant import ONNX, TORCH, Variant
from modelpack.inputs.spec import TrainSpec
from modelpack.passes.base import PassContext, in_order, passes, unfit
from modelpack.passes.cuda_graphs import CudaGraphs
from modelpack.passes.fp16 import Fp16
from modelpack.passes.onnx import OnnxExport
from modelpack.progress import Silent
from modelpack.runtimes.base import runtime_for


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Variant:
    folder, tiny = tmp_path_factory.mktemp("fp16"), Tiny()
    items = np.arange(1, ITEMS, dtype=np.int64)
    path = folder / "model.safetensors"
    tiny.save(tiny.train((items, (items * 7 + 3) % ITEMS), TrainSpec(), Silent()), path)
    return OnnxExport().apply(Variant(TORCH, path), context(folder / "onnx"))


def context(folder: Path) -> PassContext:
    tiny = Tiny()
    items = np.arange(1, ITEMS, dtype=np.int64)
    return PassContext(tiny, tiny.examples((items, (items * 7 + 3) % ITEMS), 16), folder)


def test_fp16_halves_the_file_and_keeps_the_answers(exported: Variant, tmp_path: Path) -> None:
    tiny, given = Tiny(), context(tmp_path / "a")
    halved = Fp16().apply(exported, given)
    assert halved.size_mb < 0.62 * exported.size_mb
    for name, want in runtime_for(ONNX).open(exported, tiny)(given.examples).items():
        got = runtime_for(ONNX, "cuda").open(halved, tiny)(given.examples)[name]
        assert got.dtype == want.dtype
        if want.dtype.kind == "f":
            np.testing.assert_allclose(got, want, rtol=0.02, atol=0.02)


def test_the_same_bytes_on_any_path(exported: Variant, tmp_path: Path) -> None:
    first, second = (Fp16().apply(exported, context(tmp_path / name)) for name in ("a", "other"))
    assert [sha256_of(path) for path in first.files.values()] == [
        sha256_of(path) for path in second.files.values()
    ]


def test_a_gpu_s_passes_are_for_the_gpu(tmp_path: Path) -> None:
    (fp16,) = (one for one in in_order(("fp16",), tmp_path) if one.name == "fp16")
    assert unfit(fp16, "cpu") == "it is for cuda, not for cpu"
    assert unfit(fp16, "cuda") == ""


def test_every_pass_says_what_it_is_for_and_the_export_is_for_all() -> None:
    catalog = passes()
    for name in catalog.names():
        assert catalog.get(name).hardware <= {"cpu", "cuda"}
        assert catalog.get(name).hardware
    assert catalog.get("onnx").hardware == {"cpu", "cuda"}


def test_graphs_are_an_option_beside_the_same_model(exported: Variant, tmp_path: Path) -> None:
    made = CudaGraphs().apply(exported, context(tmp_path / "a"))
    assert made.session == {"cuda_graph": True}
    assert exported.session == {}
    for name, path in exported.files.items():
        assert sha256_of(made.files[name]) == sha256_of(path)


def test_graphs_are_refused_where_shapes_vary(exported: Variant, tmp_path: Path) -> None:
    class Varying(Tiny):
        def signature(self) -> Signature:
            own = super().signature()
            return replace(own, inputs=tuple(structs.replace(one, shape=(-1, -1)) for one in own.inputs))

    given = replace(context(tmp_path / "a"), usecase=Varying())
    with pytest.raises(ValueError, match="varies by request"):
        CudaGraphs().apply(exported, given)
