"""A tokenizer of a few words, and a graph of bag-of-words search over four items, in the folder shape of an image."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import model_server
import numpy as np

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "blue", "bag", "mug", "heart", "candle", "lunch", "box")
CODES = ("85123A", "22197", "84997C", "21080")
NAMES = ("red bag", "blue mug", "heart candle", "lunch box")
TOP = 2


def tokenizer(longest: int = 6) -> bytes:
    """A `tokenizer.json` over WORDS that pads to a fixed length, as published ones do."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    places = {word: number for number, word in enumerate(WORDS)}
    made = Tokenizer(models.WordLevel(places, unk_token="[UNK]"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.enable_truncation(longest)
    made.enable_padding(pad_id=0, pad_token="[PAD]", length=longest)
    return made.to_str().encode()


def write_graph(path: pathlib.Path) -> None:
    """Counts the words that a text shares with each item; the mask must keep padding out."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    table = np.zeros((len(WORDS), len(CODES)), dtype=np.float32)
    for item, name in enumerate(NAMES):
        for word in name.split():
            table[WORDS.index(word), item] = 1.0
    table[0] = 100.0
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["each"]),
        helper.make_node("Cast", ["attention_mask"], ["given"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["given", "axis2"], ["mask"]),
        helper.make_node("Mul", ["each", "mask"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "axis1"], ["sum"], keepdims=0),
        helper.make_node("TopK", ["sum", "top"], ["scores", "products"], axis=1),
    ]
    constants = {
        "table": table,
        "axis1": np.array([1], dtype=np.int64),
        "axis2": np.array([2], dtype=np.int64),
        "top": np.array([TOP], dtype=np.int64),
    }
    tokens = ["rows", "tokens"]
    graph = helper.make_graph(
        nodes,
        "search",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, tokens)
            for name in ("input_ids", "attention_mask")
        ],
        [
            helper.make_tensor_value_info("products", TensorProto.INT64, ["rows", TOP]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", TOP]),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def serving(**more: Any) -> dict[str, Any]:
    """`serving.json` of that model."""
    answer = {"products": ["85123A", "22197"], "scores": [2.0, 0.0]}
    return {
        "format": 1,
        "model": "search",
        "runtime": "onnxruntime",
        "file": "model.onnx",
        "inputs": [{"name": "query", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": "products", "datatype": "BYTES", "shape": [-1, TOP]},
            {"name": "scores", "datatype": "FP32", "shape": [-1, TOP]},
        ],
        "text": {
            "input": "query",
            "tokenizer": "tokenizer.json",
            "ids": "input_ids",
            "mask": "attention_mask",
            "longest": 8,
        },
        "labels": {"products": "products.json"},
        "golden": [
            {"request": {"instances": [{"query": "Red BAG"}]}, "answer": {"predictions": [answer]}},
        ],
        **more,
    }


def tree(root: pathlib.Path, **more: Any) -> str:
    """The model with its companions and its file manifest below `root`; returns the content digest."""
    folder = root / "opt/ecomdeploy/model"
    folder.mkdir(parents=True)
    write_graph(folder / "model.onnx")
    (folder / "tokenizer.json").write_bytes(tokenizer())
    (folder / "products.json").write_text(json.dumps(CODES))
    (folder / "serving.json").write_text(json.dumps(serving(**more)))
    return model_server.write_file_manifest(root)
