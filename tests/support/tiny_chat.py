"""A language model of two layers with random weights, byte tokens, and a shop of a few sentences."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import msgspec
from model_server import write_file_manifest

from modelpack.server.handlers.chat.conversation import KnowledgeBase
from modelpack.server.handlers.chat.orders import as_json
from modelpack.server.handlers.chat.retrieval import words

END, MOST_NEW, LONGEST = 2, 12, 384
SENTENCES = (
    "The Lamp comes in 4 options.",
    "The Kettle costs 30.50 dollars.",
    "An order can only be cancelled if its status is pending.",
)
OWNER = {"customer": "ann_lee_1234", "postal_code": "10001"}
OTHER = {"customer": "bob_ray_5678", "postal_code": "20002"}
MINE, THEIRS = "#W1000001", "#W2000002"
KNOWLEDGE = KnowledgeBase(
    sentences=SENTENCES,
    system="Answer.",
    facts=2,
    vocabulary=tuple({word for sentence in SENTENCES for word in words(sentence)}),
    least=0.6,
    refusal="Only the shop.",
    identify="Who are you?",
)


def orders() -> bytes:
    """Two orders of two customers."""
    return as_json(
        {
            number: {
                **who,
                "facts": [f"The status of order {number} is {status}.", f"Order {number} has 2 items."],
            }
            for number, who, status in ((MINE, OWNER, "pending"), (THEIRS, OTHER, "delivered"))
        }
    )


def tokenizer() -> bytes:
    """A token for every byte, and the marks of a chat."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens = [*marks, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    made = Tokenizer(models.BPE({token: place for place, token in enumerate(tokens)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(mark, normalized=False, special=True) for mark in marks])
    return str(made.to_str()).encode()


def model(seed: int = 0, most_new: int = MOST_NEW) -> Any:
    """The language model."""
    import torch

    from modelpack.language.llama import Llama, LlamaShape, assemble

    shape = LlamaShape(
        vocabulary=259, width=64, inner=96, layers=2, heads=4, groups=2, base=10000.0, epsilon=1e-5, end=END,
        most_new=most_new, longest=LONGEST,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    weights = {
        name: torch.randn(value.shape, generator=generator) * (0.3 if value.ndim > 1 else 0.1)
        + (value.ndim == 1)
        for name, value in Llama(shape).state_dict().items()
    }
    return assemble(shape, {}, weights)


def serving(**more: Any) -> dict[str, Any]:
    """`serving.json`."""
    texts = [{"name": name, "datatype": "BYTES", "shape": [-1], "default": ""} for name in OWNER]
    return {
        "format": 1,
        "model": "chat",
        "runtime": "onnxruntime",
        "file": "model.onnx",
        "inputs": [{"name": "question", "datatype": "BYTES", "shape": [-1]}, *texts],
        "outputs": [
            {"name": "answer", "datatype": "BYTES", "shape": [-1]},
            {"name": "route", "datatype": "BYTES", "shape": [-1]},
            {"name": "tokens", "datatype": "INT64", "shape": [-1]},
        ],
        "max_batch": 1,
        "decoding": {"end": END, "most_new": MOST_NEW},
        "handler": {"module": "modelpack.server.handlers.chat.handler"},
        **more,
    }


def tree(root: pathlib.Path, **more: Any) -> str:
    """Everything below `root` as in an image; returns the content digest."""
    from modelpack.formats.onnx_files import write
    from modelpack.language.step_graph import step_graph

    folder = root / "opt/ecomdeploy/model"
    write(step_graph(model()), folder)
    (folder / "knowledge.json").write_bytes(msgspec.json.encode(KNOWLEDGE))
    (folder / "orders.json").write_bytes(orders())
    (folder / "tokenizer.json").write_bytes(tokenizer())
    (folder / "serving.json").write_text(json.dumps(serving(**more)))
    return write_file_manifest(root)
