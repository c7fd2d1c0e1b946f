"""Passes by path: each changes a model as it says, and one goes through the command line, the gate and the image."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import platformdirs
import pytest
import tiny_chat
from lent_layers import lend
from table_graphs import constants, context, dense, looked_up, value
from tables import COLUMNS, MadeAmount, split

from examples.passes.embedding_hash import FEWEST, EmbeddingHash, places
from modelpack.digests import sha256_of
from modelpack.formats.onnx_files import write
from modelpack.formats.variant import TORCH, Variant
from modelpack.language.step_graph import step_graph
from modelpack.passes.base import Inapplicable, Pass, PassContext, passes
from modelpack.passes.onnx import OnnxExport
from modelpack.progress import Silent
from modelpack.runtimes.onnxruntime import OnnxRuntime
from modelpack.server.engines.decoder import NOTHING, Decoder
from modelpack.server.signature import Decoding
from modelpack.usecases.base import usecases
from modelpack.usecases.tabular import training
from modelpack.usecases.tabular.frame import AMOUNT
from modelpack.usecases.tabular.hyperparameters import Dense
from modelpack.usecases.tabular.model import predict

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "passes"
WIDTH = 16


def plug_in(name: str) -> Pass:
    """The pass as a Spec names it."""
    return passes().get(f"./{name}", FOLDER)


def digests(variant: Variant) -> dict[str, str]:
    return {name: sha256_of(path) for name, path in variant.files.items()}


def test_every_file_is_a_pass_that_the_product_does_not_have_and_the_readme_names() -> None:
    """Whatever lies there can be named by path."""
    told = (FOLDER / "README.md").read_text()
    files = sorted(FOLDER.glob("*.py"))
    assert len(files) == 4
    for file in files:
        (kind,) = [line.split()[1].partition("(")[0] for line in file.open() if "Pass):" in line]
        assert plug_in(f"{file.name}:{kind}").name not in passes().names()
        assert f"`{file.name}:{kind}`" in told


def test_blocks_of_8_bits_stay_close_and_come_out_the_same(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).normal(0, 0.2, (64, 128)).astype(np.float32)
    whole = dense(weights, None, tmp_path / "whole", gemm=False)
    made, again = (plug_in("nbits8.py:NBits8").apply(whole, context(tmp_path / name)) for name in ("a", "b"))
    assert digests(made) == digests(again)
    rows = np.random.default_rng(1).normal(size=(5, 128)).astype(np.float32)
    wanted = value(whole, "y", x=rows)
    found = value(made, onnx.load(str(made.path)).graph.output[0].name, x=rows)
    assert 0 < np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()
    assert made.size_mb < 0.6 * whole.size_mb


def test_a_hashed_table_gives_weighted_sums_of_two_shared_vectors(tmp_path: Path) -> None:
    count = -(-FEWEST // 24)
    generator = np.random.default_rng(3)
    own, weight = generator.normal(0, 1, (count, WIDTH)), generator.uniform(0.5, 1.5, (FEWEST, 2, 1))
    at = places(FEWEST, count)
    assert np.bincount(at.ravel(), minlength=count).max() < 4 * at.size / count
    assert np.mean(at[:, 0] == at[:, 1]) < 0.05
    values = (own[at] * weight).sum(axis=1).astype(np.float32)
    items = np.arange(-1, FEWEST - 1, dtype=np.int64)
    whole = looked_up(values, tmp_path / "whole")
    variant, again = (
        EmbeddingHash().apply(whole, context(tmp_path / name, {"item": items})) for name in ("a", "b")
    )
    assert digests(variant) == digests(again)
    kept = constants(variant)
    assert kept["table.buckets"].shape == (count, WIDTH)
    want = (kept["table.buckets"].astype(np.float32)[at] * kept["table.weights"].astype(np.float32)).sum(1)
    found = value(variant, "row", item=items)
    assert np.allclose(found, want, atol=1e-5)
    # a table that is hashed already is found again; one that is not, mostly not
    assert np.square(found - values).mean() < 0.05 * np.square(values).mean()
    assert variant.size_mb < whole.size_mb / 4


def test_hashed_rows_asked_for_often_are_closer_than_others(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(0, 0.5, (FEWEST, WIDTH)).astype(np.float32)
    often = {"item": np.tile(np.arange(-1, 99, dtype=np.int64), 4000)}
    whole = looked_up(values, tmp_path / "a")
    variant = plug_in("embedding_hash.py:EmbeddingHash").apply(whole, context(tmp_path / "b", often))
    items = np.arange(-1, FEWEST - 1, dtype=np.int64)
    errors = np.square(value(variant, "row", item=items) - values).mean(axis=1)
    assert errors[:100].mean() < 0.6 * errors[100:].mean()


def test_pruned_weights_stay_zero_are_stored_sparsely_and_answer_as_the_dense_ones(tmp_path: Path) -> None:
    usecase, data = MadeAmount(), split(AMOUNT)
    shape = Dense(hidden=(96, 64), dropout=0.0, batch=64)
    wide = training.train(COLUMNS, AMOUNT, data.training, shape, 1, 7, Silent(), usecase.scale)
    (tmp_path / "trained").mkdir()
    variant = Variant(TORCH, tmp_path / "trained" / "model.safetensors")
    usecase.save(wide, variant.path)
    plain = PassContext(
        usecase,
        usecase.examples(data, 64),
        tmp_path,
        training_rows=lambda: usecase.training_rows(data),
    )
    prune = plug_in("prune.py:Prune")
    made, again = (prune.apply(variant, replace(plain, folder=tmp_path / name)) for name in ("a", "b"))
    assert digests(made) == digests(again)
    onnx.checker.check_model(str(made.path))
    graph = onnx.load(str(made.path)).graph
    (sparse,) = [one for one in graph.sparse_initializer if list(one.dims) == [64, 96]]
    assert 0 < sparse.values.dims[0] < 0.2 * 64 * 96
    zeros = usecase.load(tmp_path / "a" / "zeros" / "model.safetensors")
    got = OnnxRuntime().open(made, usecase)(data.test.inputs)["prediction"]
    names = [column.name for column in COLUMNS]
    np.testing.assert_allclose(got, predict(zeros, data.test, names)[0], rtol=1e-4, atol=1e-4)
    assert made.size_mb < 0.7 * OnnxExport().apply(variant, replace(plain, folder=tmp_path / "c")).size_mb


def test_caches_are_int8_and_answers_are_near_those_of_float_caches(tmp_path: Path) -> None:
    decoding = Decoding(end=-5, most_new=20)
    whole = write(step_graph(tiny_chat.model()), tmp_path / "whole")
    read = np.random.default_rng(0).integers(3, 250, (6, 80))
    filled = np.concatenate([read, np.full((len(read), 7), NOTHING)], axis=1)

    def narrowed(variant: Variant, name: str, ids: Any) -> Variant:
        asked = PassContext(usecases().get("chat"), {}, tmp_path / name, ids if ids is None else {"ids": ids})
        return plug_in("kv_cache_int8.py:KvCacheInt8").apply(variant, asked)

    made = narrowed(whole, "a", read)
    assert digests(made) == digests(narrowed(whole, "b", filled)), "what fills up a prompt is read as well"
    graph = onnx.load(str(made.path)).graph
    kinds = {one.name: one.type.tensor_type.elem_type for one in (*graph.input, *graph.output)}
    assert {kinds[name] for name in kinds if name.startswith(("keys.", "values."))} == {onnx.TensorProto.INT8}
    wide, narrow = Decoder(decoding, whole.path, 1), Decoder(decoding, made.path, 1)
    past = 0
    for piece in (read[0, :50].tolist(), [9], [10, 11, 12], [13]):
        wanted, found = wide.step(piece, past)[0], narrow.step(piece, past)[0]
        assert not np.array_equal(found, wanted)
        assert np.abs(found - wanted).max() < 0.1 * np.abs(wanted).max()
        past += len(piece)
    with pytest.raises(Inapplicable, match="nothing to calibrate on"):
        narrowed(whole, "c", None)
    with pytest.raises(Inapplicable, match="no attention that keeps keys and values in float32"):
        narrowed(made, "d", read)


SPEC = """\
version: 1
service: tiny
usecase: ./own.py:Tiny
pack: {passes: [onnx, ./embedding_hash.py:EmbeddingHash]}
"""


@pytest.mark.nightly(like="tests/modelpack/test_build.py::test_the_pack_is_remembered_and_whole")
@pytest.mark.slow
@pytest.mark.network
def test_a_pass_by_path_goes_through_the_gate_into_a_pack(
    repository: Path, shared_layers: Path, tmp_path: Path
) -> None:
    """As a user types it: measured against the export, judged with a reason, and its code names the verdict."""
    project = tmp_path / "shop"
    project.mkdir()
    shutil.copy(repository / "tests" / "support" / "tiny_usecase.py", project / "own.py")
    shutil.copy(FOLDER / "embedding_hash.py", project)
    (project / "ecomdeploy.yaml").write_text(SPEC)
    cache = os.environ.get("ECOMDEPLOY_CACHE") or str(platformdirs.user_cache_path("ecomdeploy"))
    lend(shared_layers, tmp_path / "home" / "images")
    (tmp_path / "cache").mkdir()
    Path(cache, "downloads").mkdir(parents=True, exist_ok=True)
    (tmp_path / "cache" / "downloads").symlink_to(Path(cache, "downloads"))
    places = {"ECOMDEPLOY_HOME": str(tmp_path / "home"), "ECOMDEPLOY_CACHE": str(tmp_path / "cache")}

    def pack() -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "cli.app", "pack", "--json"],
            cwd=project,
            env={**os.environ, **places, "PYTHONPATH": str(repository)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    first = pack()
    export, ours = first["record"]["passes"]
    assert (export["name"], ours["name"]) == ("onnx", "embedding-hash")
    assert ours["size_mb"] < 0.9 * export["size_mb"]
    chosen = ours if ours["kept"] else export
    assert first["record"]["chosen"]["size_mb"] == chosen["size_mb"]
    assert pack()["image"] == first["image"]
    verdict = json.loads((project / "pack.lock").read_text())["verdict"]["for"]
    with (project / "embedding_hash.py").open("a") as file:
        file.write("\n# changed\n")
    pack()
    assert json.loads((project / "pack.lock").read_text())["verdict"]["for"] != verdict
