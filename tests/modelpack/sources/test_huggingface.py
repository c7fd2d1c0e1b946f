"""Folders of transformers: the very model, or a refusal by the names of what is lacking; `make test-keras`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tiny_usecase import Tiny

from modelpack.errors import BadInput
from modelpack.formats.signature import Signature
from modelpack.gate.fidelity import Asked, ask_library
from modelpack.runtimes.onnxruntime import OnnxRuntime
from modelpack.server.signature import Tensor
from modelpack.sources.base import Converted, check, open_model

transformers = pytest.importorskip(
    "transformers", reason="needs the extra `huggingface`: make test-keras runs it"
)
pytestmark = pytest.mark.slow
LENGTH = 6


class Angry(Tiny):
    """Six tokens -> two logits."""

    def signature(self) -> Signature:
        names = ("input_ids", "attention_mask")
        inputs = tuple(Tensor(name, "INT64", (-1, LENGTH)) for name in names)
        return Signature(inputs, (Tensor("logits", "FP32", (-1, 2)),))


def saved(folder: Path, **more: Any) -> Path:
    """A small classifier by its own save call."""
    import torch

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.BertConfig(vocab_size=30, **sizes)
    transformers.BertForSequenceClassification(config).eval().save_pretrained(folder, **more)
    return folder


def edit_config(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def edit_weights(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: edit_weights(folder, lambda weights: weights.pop(name))


def of_the_body(folder: Path) -> None:
    """What `AutoModel.save_pretrained` leaves: no head at all."""
    body = transformers.BertForSequenceClassification.from_pretrained(folder).bert
    body.save_pretrained(folder)
    edit_config(folder, architectures=["BertForSequenceClassification"])


LACKING: dict[str, tuple[Callable[[Path], None], str]] = {
    "no head": (of_the_body, "classifier.bias"),
    "one tensor of the head": (without("classifier.weight"), "classifier.weight"),
    "one tensor of a layer": (
        without("bert.encoder.layer.0.output.dense.weight"),
        "bert.encoder.layer.0.output.dense.weight",
    ),
    "a head of another size": (
        lambda folder: edit_config(folder, id2label={str(one): str(one) for one in range(5)}),
        "classifier.weight",
    ),
    "a table of another size": (
        lambda folder: edit_config(folder, vocab_size=40),
        "bert.embeddings.word_embeddings.weight",
    ),
    "the weights under another name": (
        lambda folder: edit_weights(
            folder, lambda weights: weights.update({"head.weight": weights.pop("classifier.weight")})
        ),
        "classifier.weight",
    ),
}


@pytest.mark.parametrize("kind", LACKING)
def test_weights_that_would_be_random_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    change, name = LACKING[kind]
    folder = saved(tmp_path / "model")
    change(folder)
    with pytest.raises(BadInput, match="are missing in the folder, or of another shape") as caught:
        open_model(folder, Angry(), tmp_path / "taken")
    assert name in str(caught.value)
    assert "save_pretrained()" in str(caught.value.problems[0].hint or caught.value.hint)


def test_weights_that_nothing_uses_are_told(tmp_path: Path) -> None:
    folder, notes = saved(tmp_path / "model"), list[str]()
    edit_weights(folder, lambda weights: weights.update({"more.weight": np.ones((2, 2), np.float32)}))
    open_model(folder, Angry(), tmp_path / "taken", notes.append)
    assert any("1 weights of the folder are not used" in note for note in notes)


def test_transformers_is_asked(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model")
    variant = open_model(folder, Angry(), tmp_path / "taken")
    ids = np.random.default_rng(0).integers(0, 30, (40, LENGTH))
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    answers = dict(OnnxRuntime().open(variant, Angry())(inputs))
    asked = Asked(inputs, tuple(range(1, 41)), answers)
    source = check(folder)
    assert isinstance(source, Converted)
    found = ask_library(source, Angry(), asked, folder, tmp_path)
    assert found.by.startswith("transformers 5"), found.because
    assert found.largest["logits"] < 1e-5
    answers["logits"] = answers["logits"][:, ::-1]
    with pytest.raises(BadInput, match=r"request 1: logits is .* by transformers"):
        ask_library(source, Angry(), asked, folder, tmp_path)


def test_a_shard_that_is_not_there_is_told_by_name(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", max_shard_size="5KB")
    gone = sorted(folder.glob("model-*.safetensors"))[1]
    gone.unlink()
    with pytest.raises(BadInput, match=f"weights are not in the folder: {gone.name}"):
        open_model(folder, Angry(), tmp_path / "taken")


def test_what_a_trainer_leaves_beside_the_weights_is_not_opened(tmp_path: Path) -> None:
    """`Trainer.save_model` writes its arguments as a pickle; weights as one are refused all the same."""
    folder = saved(tmp_path / "model")
    (folder / "training_args.bin").write_bytes(b"no pickle at all")
    open_model(folder, Angry(), tmp_path / "taken")
    (folder / "pytorch_model.bin").write_bytes(b"weights")
    with pytest.raises(BadInput, match=r"only text and safetensors are taken, not 'pytorch_model\.bin'"):
        open_model(folder, Angry(), tmp_path / "again")


SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
SHARED: dict[str, Callable[[], Any]] = {
    "a head tied to the table": lambda: transformers.BertForMaskedLM(
        transformers.BertConfig(vocab_size=30, tie_word_embeddings=True, **SMALL)
    ),
    "layers that share their weights": lambda: transformers.AlbertForSequenceClassification(
        transformers.AlbertConfig(vocab_size=30, embedding_size=8, **SMALL)
    ),
    "a language model's head": lambda: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=30, n_embd=16, n_layer=1, n_head=2, n_positions=16)
    ),
}


@pytest.mark.parametrize("kind", SHARED)
def test_weights_that_stand_once_and_are_used_twice(tmp_path: Path, kind: str) -> None:
    """The file holds them once; nothing is missing, and the answers are transformers' own."""
    import torch

    torch.manual_seed(1)
    model = SHARED[kind]().eval()
    model.save_pretrained(tmp_path / "model", max_shard_size="5KB")
    ids = np.random.default_rng(0).integers(1, 30, (9, LENGTH))
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    with torch.inference_mode():
        wanted = model(**{name: torch.from_numpy(values) for name, values in inputs.items()}).logits.numpy()

    class Asking(Angry):
        def signature(self) -> Signature:
            return Signature(super().signature().inputs, (Tensor("logits", "FP32", (-1, *wanted.shape[1:])),))

    variant = open_model(tmp_path / "model", Asking(), tmp_path / "taken")
    np.testing.assert_allclose(OnnxRuntime().open(variant, Asking())(inputs)["logits"], wanted, atol=1e-5)
