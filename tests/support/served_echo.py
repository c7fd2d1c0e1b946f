"""A model that gives back its inputs, in the folder shape of an image."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from model_server import write_file_manifest

ONNX = {
    "BOOL": 9,
    "UINT8": 2,
    "INT32": 6,
    "UINT64": 13,
    "FP16": 10,
    "FP32": 1,
    "FP64": 11,
    "BYTES": 8,
    "INT64": 7,
}


SAYS = """
import json
import numpy as np

def finish(answers):
    return {**answers, "said": np.array([json.dumps(one) for one in answers["more"]], dtype=object)}
"""


def echo_tree(
    root: pathlib.Path, inputs: Mapping[str, str], width: int, extra_fields: bool = False, **more: Any
) -> str:
    """Inputs by name with their datatype, each `width` wide; outputs are `same_<input>`. The content digest.

    `extra_fields`: fields that are no input are taken, and what each row's caller sent is the text `said`.
    """
    from onnx import helper

    nodes = [helper.make_node("Identity", [name], [f"same_{name}"]) for name in inputs]
    values = [
        [
            helper.make_tensor_value_info(f"{before}{name}", ONNX[kind], ["rows", width])
            for name, kind in inputs.items()
        ]
        for before in ("", "same_")
    ]
    graph = helper.make_graph(nodes, "echo", *values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    folder = root / "opt/ecomdeploy/model"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())

    def described(before: str) -> list[dict[str, Any]]:
        return [
            {
                "name": f"{before}{name}",
                "datatype": kind,
                "shape": [-1, width],
                "missing": kind.startswith("FP"),
            }
            for name, kind in inputs.items()
        ]

    serving: dict[str, Any] = {
        "format": 1,
        "model": "echo",
        "runtime": "onnxruntime",
        "file": "model.onnx",
        "inputs": described(""),
        "outputs": described("same_"),
        **more,
    }
    if extra_fields:
        (folder / "transform.py").write_text(SAYS)
        model_side = {"inputs": serving["inputs"], "outputs": serving["outputs"]}
        serving["transform"] = {"file": "transform.py", "extra_fields": "more", **model_side}
        serving["outputs"] = [*described("same_"), {"name": "said", "datatype": "BYTES", "shape": [-1]}]
    (folder / "serving.json").write_text(json.dumps(serving))
    return write_file_manifest(root)
