"""Hostile model files are refused with the reason, and nothing in them runs; a benign one of every format loads."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hostile
import hostile_archives
import hostile_others
import hostile_readers
import lightgbm
import numpy as np
import pytest
import torch
from given import Given, answered
from tiny_usecase import Tiny
from watched import open_watched

from modelpack.errors import BadInput
from modelpack.formats.signature import Signature
from modelpack.runtimes.onnxruntime import OnnxRuntime
from modelpack.server.signature import Tensor
from modelpack.sources.base import content_digest, open_model
from modelpack.sources.pickles import list_imports, scan, scan_torch_file

CASES = {**hostile.CASES, **hostile_others.CASES, **hostile_readers.CASES}
FAULTS = re.compile(r"NameError|UnboundLocalError|ImportError|ModuleNotFound")
CLI = ("pt2 with a pickle: stack global", "onnx with external data above", "gzip named .safetensors")


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_file_is_refused_and_not_run(tmp_path: Path, name: str) -> None:
    canary = tmp_path / "canary"
    path = CASES[name](tmp_path / "given", canary)
    tried: list[str] = []
    with pytest.raises(BadInput) as caught:
        open_watched(path, Given(), tmp_path / "taken", tried)
    assert tried == [], "refused before it could try anything"
    assert "pip install" not in caught.value.hint, "refused for a missing package, not for what it is"
    assert not FAULTS.search(str(caught.value)), "a fault of ours is no refusal"
    assert path.name in str(caught.value)
    assert len(str(caught.value)) < 700
    assert not canary.exists()


@pytest.mark.parametrize("kind", [kind for kind in hostile.pickles(Path("x")) if kind != "extension"])
def test_the_pickles_are_really_hostile(tmp_path: Path, kind: str) -> None:
    """Unpickled, each makes the canary (or, behind a pop or a stop, names what it may not): the set is no straw man."""
    canary = tmp_path / "canary"
    data = hostile.pickles(canary)[kind]
    with pytest.raises(BadInput):
        scan(data, tmp_path)
    if kind not in ("stack global behind a pop", "after a good one", "newobj", "stack global from the memo"):
        subprocess.run(
            [sys.executable, "-c", f"import pickle; pickle.loads({data!r})"], capture_output=True, check=False
        )
        assert canary.exists()


def test_what_tensorflow_or_transformers_read_is_tried_where_they_are(
    repository: Path, tmp_path: Path
) -> None:
    """`make test-keras` picks its cases by words of their names."""
    (line,) = [line for line in (repository / "Makefile").read_text().splitlines() if "-k '" in line]
    words = line.split("'")[1].split(" or ")
    for number, (name, made) in enumerate(CASES.items()):
        path = made(tmp_path / str(number), tmp_path / "canary")
        if path.suffix == ".keras" or path.is_dir():
            assert any(word in name.lower() for word in words), name


def test_there_are_enough_of_them() -> None:
    """Of every format, and for each container files that two readers see differently."""
    assert len(CASES) >= 60
    first = Counter(name.split()[0] for name in CASES)
    formats = {"pt2", "onnx", "keras", "savedmodel", "huggingface", "safetensors", "xgboost", "lightgbm"}
    containers = {"hdf5": 4, "protobuf": 4, "json": 4, "tar": 4, "npz": 4}
    assert all(first[name] >= 4 for name in formats)
    assert all(first[name] >= least for name, least in containers.items())
    assert len(hostile_archives.TWISTS) >= 10


def test_what_torch_saves_of_tensors_passes(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save(((torch.ones(2, 3), torch.nn.Parameter(torch.zeros(2))), {"a": torch.arange(3)}), path)
    scan_torch_file(path.read_bytes(), path)
    assert list_imports(b"\x80\x02ccollections\nOrderedDict\n)R.") == {"collections OrderedDict"}


ROWS = np.random.default_rng(3).normal(size=(6, 4)).astype(np.float32)


def test_an_onnx_file_loads(tmp_path: Path) -> None:
    variant = open_model(
        hostile.saved(hostile.benign_graph(), tmp_path / "given"), Given(), tmp_path / "taken"
    )
    assert np.allclose(answered(variant, ROWS), ROWS @ [1, -1, 0.5, 0])


def test_an_exported_program_loads(tmp_path: Path) -> None:
    path = hostile.exported(tmp_path / "given")
    variant = open_model(path, Given(), tmp_path / "taken")
    wanted = torch.export.load(path).module()(torch.from_numpy(ROWS)).detach().numpy()
    assert np.allclose(answered(variant, ROWS), wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("objective", "missing"), [("binary", True), ("regression", False), ("poisson", True)]
)
def test_lightgbm_s_text_answers_as_lightgbm(tmp_path: Path, objective: str, missing: bool) -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(400, 4)).astype(np.float32)
    rows[generator.random(rows.shape) < 0.1] = np.nan
    options = {"objective": objective, "use_missing": missing, "verbosity": -1, "num_threads": 1}
    target = np.nan_to_num(rows).sum(1) > 0
    booster = lightgbm.train(options, lightgbm.Dataset(rows, target), 20)
    booster.save_model(tmp_path / "model.txt")
    variant = open_model(tmp_path / "model.txt", Given(), tmp_path / "taken")
    assert np.allclose(answered(variant, rows), booster.predict(rows), atol=1e-5)


def test_xgboost_s_json_answers_as_xgboost(tmp_path: Path) -> None:
    recorded = json.loads(hostile_others.RECORDED.read_text())
    (tmp_path / "model.json").write_text(json.dumps(recorded["model"]))
    variant = open_model(tmp_path / "model.json", Given(), tmp_path / "taken")
    rows = np.array(recorded["rows"], dtype=np.float32)
    assert np.allclose(answered(variant, rows), recorded["predictions"], atol=1e-6)


def test_safetensors_take_the_config_beside_them(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    tiny = Tiny()
    model = tiny.train(tiny.prepare(None, None), Spec(), Quiet())  # type: ignore[arg-type]
    given = tmp_path / "given"
    given.mkdir()
    save_file(model.state_dict(), given / "model.safetensors")
    with pytest.raises(BadInput, match="not a tiny model"):
        open_model(given / "model.safetensors", tiny, tmp_path / "first")
    (given / "config.json").write_text('{"kind": "tiny"}')
    for path in (given / "model.safetensors", given):
        variant = open_model(path, tiny, tmp_path / "taken" / path.name)
        assert torch.equal(tiny.load(variant.path).table.weight, model.table.weight)


class Spec:
    seed = 1


class Quiet:
    def track(self, *_: Any) -> Any:
        import contextlib

        return contextlib.nullcontext(lambda _: None)


def test_a_huggingface_folder_loads(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs the extra `huggingface`")
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=3,
    )
    model = transformers.BertForSequenceClassification(config).eval()
    model.save_pretrained(tmp_path / "given")

    class Text(Tiny):
        def signature(self) -> Signature:
            inputs = (Tensor("input_ids", "INT64", (-1, -1)), Tensor("attention_mask", "INT64", (-1, -1)))
            return Signature(inputs, (Tensor("logits", "FP32", (-1, 3)),))

    given = {"input_ids": np.arange(12).reshape(2, 6), "attention_mask": np.ones((2, 6), np.int64)}
    variant = open_model(tmp_path / "given", Text(), tmp_path / "taken")
    answer = OnnxRuntime().open(variant, Text())(given)["logits"]
    wanted = model(**{name: torch.from_numpy(array) for name, array in given.items()}).logits.detach().numpy()
    assert np.allclose(answer, wanted, atol=1e-5)


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is not None, reason="TensorFlow is here")
def test_without_tensorflow_a_keras_model_says_what_to_install(tmp_path: Path) -> None:
    path = hostile_others.keras_file(tmp_path / "given", [hostile_others.layer("Flatten", name="f")])
    with pytest.raises(BadInput, match="not installed here") as caught:
        open_model(path, Given(), tmp_path / "taken")
    assert "ecomdeploy[tensorflow]" in caught.value.hint


def test_a_model_is_named_by_all_its_files(tmp_path: Path) -> None:
    path = hostile.outside("weights.bin")(tmp_path / "given", tmp_path)
    (path.parent / "weights.bin").write_bytes(bytes(64))
    before = content_digest(path)
    (path.parent / "weights.bin").write_bytes(b"1" * 64)
    assert content_digest(path) != before
    folder = hostile_others.face(tmp_path / "face")
    before = content_digest(folder)
    (folder / "vocab.txt").write_text("word")
    assert content_digest(folder) != before


def packed(folder: Path, path: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    support = Path(hostile.__file__).parent
    (folder / "shop.py").write_text((support / "tiny_usecase.py").read_text())
    (folder / "ecomdeploy.yaml").write_text(
        f"version: 1\nservice: shop\nusecase: ./shop.py:Tiny\nmodel: {{path: {path.relative_to(folder)}}}\n"
        "serve: {target: sagemaker, instance: ml.c7i.xlarge}\n"
        "environments: {local: {cloud: local}}\n"
    )
    command = [sys.executable, "-c", "from cli.app import main; main()", "pack", "--json"]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == CLI[0] else pytest.mark.slow) for name in CLI]
)
def test_the_command_line_says_no_without_a_traceback(tmp_path: Path, repository: Path, name: str) -> None:
    canary = tmp_path / "canary"
    path = CASES[name](tmp_path / "given", canary)
    environment = {**os.environ, "PYTHONPATH": str(repository), "ECOMDEPLOY_HOME": str(tmp_path / "home")}
    done = packed(tmp_path, path, environment)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert path.name in json.loads(done.stdout)["error"]["what"]
    assert not canary.exists()
