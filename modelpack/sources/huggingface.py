"""Hugging Face folders: config.json with weights as safetensors, the architecture from transformers itself.

Refused: weights as pickles, remote code (`auto_map`, Python files), archives, shards that lead elsewhere, weights that
the architecture has and the folder lacks (transformers would draw them at random). transformers sees a fresh folder of
the checked config and the weights, nothing else. A folder whose config.json describes one of our own architectures
(`kind`) is read as `.safetensors` with that config. Needs the extra `huggingface` (huggingface.co/docs/transformers).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from modelpack.errors import BadInput, first_line
from modelpack.formats.safetensors import read_header
from modelpack.formats.signature import Arrays, Run, Signature
from modelpack.formats.variant import ONNX, TORCH, Variant
from modelpack.sources.base import LibraryFormat, files_below
from modelpack.sources.limits import LARGEST
from modelpack.sources.safetensors import CONFIG, Safetensors, read_config
from modelpack.sources.taking import Note
from modelpack.usecases.base import UseCase

if TYPE_CHECKING:
    import onnx

INDEX = "model.safetensors.index.json"
WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors")
TEXT = re.compile(r"[\w.-]+\.(json|txt|model|md|jinja)|LICENSE|NOTICE|\.gitattributes")
OF_TRAINING = "training_args.bin"
"""A pickle that `Trainer.save_model` leaves beside the weights: never opened, and not part of the model."""
REMOTE = ("auto_map", "custom_pipelines", "trust_remote_code", "quantization_config")
OPSET = 20
BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
MOST_NUMBER = 10_000_000
MEMORY = 4_000_000_000


class HuggingFace(LibraryFormat):
    """A transformers model by the first of its `architectures`, inputs and outputs by name."""

    name: ClassVar[str] = "huggingface"
    marker: ClassVar[str | None] = CONFIG
    gives: ClassVar[frozenset[str]] = frozenset({ONNX, TORCH})
    extra: ClassVar[str] = "huggingface"
    memory: ClassVar[int] = MEMORY
    library: ClassVar[str] = "transformers"

    def open(self, path: Path, usecase: UseCase[Any], folder: Path, note: Note) -> Variant:
        config = read_config(path / CONFIG)
        if "kind" not in config or "model_type" in config:
            return super().open(path, usecase, folder, note)
        weights = check(path, config)
        if len(weights) != 1:
            raise BadInput("a model of our own is one model.safetensors", where=str(path))
        return Safetensors().open(weights[0], usecase, folder, note)

    def convert(self, path: Path, wanted: Signature | None, notes: list[str]) -> onnx.ModelProto:
        config = read_config(path / CONFIG)
        fresh = rewrite(check(path, config), config, path)
        if wanted is None:
            hint = "name them: inputs = (Tensor('input_ids', 'INT64', (-1, -1)), …) and outputs"
            raise BadInput(
                "a Hugging Face folder does not tell inputs and outputs", where=str(path), hint=hint
            )
        model = load(fresh, config, path, notes)
        try:
            return export(model, wanted)
        except MemoryError:
            raise
        except Exception as error:
            raise BadInput(f"transformers cannot take it: {first_line(error)}", where=str(path)) from error

    def original(self, path: Path, signature: Signature) -> Run:
        import numpy as np
        import torch

        config = read_config(path / CONFIG)
        model = load(rewrite(check(path, config), config, path), config, path, [])
        outputs = [one.name for one in signature.outputs]

        def run(inputs: Arrays) -> Arrays:
            given = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in inputs.items()}
            with torch.inference_mode():
                answers = by_name(model(**given), outputs)
            return {name: np.asarray(tensor.numpy()) for name, tensor in zip(outputs, answers, strict=True)}

        return run


def rewrite(weights: list[Path], config: dict[str, Any], path: Path) -> Path:
    """A folder with the checked config, index and weights."""
    fresh = Path("checked")
    fresh.mkdir()
    (fresh / CONFIG).write_text(json.dumps(config))
    if (path / INDEX).is_file():
        (fresh / INDEX).write_text(json.dumps(read_config(path / INDEX)))
    for file in weights:
        (fresh / file.name).symlink_to(file)
    return fresh


def check(path: Path, config: dict[str, Any]) -> list[Path]:
    """The weights' files. Raises BadInput for anything but text and safetensors, and for sizes that lie."""
    weights = []
    for file in files_below(path):
        name = file.relative_to(path).as_posix()
        if WEIGHTS.fullmatch(name):
            check_offsets(file)
            weights.append(file)
        elif name != OF_TRAINING and not TEXT.fullmatch(name):
            hint = "keep config.json, tokenizer and *.safetensors only"
            raise BadInput(f"only text and safetensors are taken, not {name!r}", where=str(path), hint=hint)
        elif name.endswith(".json"):
            told = read_config(file) if name.endswith(("config.json", INDEX)) else {}
            if asked := [key for key in REMOTE if key in told]:
                raise BadInput(f"{name} asks for code from elsewhere: {', '.join(asked)}", where=str(path))
            if name == INDEX:
                check_shards(told, path)
    if not weights:
        raise BadInput("it holds no model.safetensors", where=str(path))
    large = [key for key, value in config.items() if isinstance(value, int) and abs(value) > MOST_NUMBER]
    if large:
        raise BadInput(f"config.json has absurd sizes: {', '.join(large)}", where=str(path))
    return weights


def check_offsets(file: Path) -> None:
    """Every tensor's place fits its shape and the file. Raises BadInput."""
    for name, one in read_header(file).items():
        if name == "__metadata__":
            continue
        try:
            (begin, end), count = one["data_offsets"], BYTES.get(one["dtype"], 1)
            for size in one["shape"]:
                count *= size
            if not 0 <= begin <= end <= file.stat().st_size or count != end - begin or count > LARGEST:
                raise BadInput(f"the tensor {name!r} does not fit its place in the file", where=str(file))
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(f"the tensor {name!r} is not described properly", where=str(file)) from error


def check_shards(index: dict[str, Any], path: Path) -> None:
    """The index names only weights of this folder, and all are there. Raises BadInput."""
    shards = index.get("weight_map")
    named = list(shards.values()) if isinstance(shards, dict) else [None]
    names = sorted({one for one in named if isinstance(one, str) and WEIGHTS.fullmatch(one)})
    if foreign := [one for one in named if one not in names]:
        raise BadInput(f"weights outside the folder are refused: {str(foreign[0])[:80]!r}", where=str(path))
    if absent := [one for one in names if not (path / one).is_file()]:
        hint = f"{INDEX} names them: copy every model-*.safetensors"
        raise BadInput(f"weights are not in the folder: {', '.join(absent[:5])}", where=str(path), hint=hint)


def load(fresh: Path, config: dict[str, Any], path: Path, notes: list[str]) -> Any:
    """The model. Raises BadInput for an architecture that transformers does not carry, and for missing weights."""
    import torch
    import transformers

    names = config.get("architectures") or ["AutoModel"]
    kind: Any = getattr(transformers, str(names[0]), None)
    carried: Any = transformers.PreTrainedModel
    if names != ["AutoModel"] and not (isinstance(kind, type) and issubclass(kind, carried)):
        raise BadInput(f"transformers knows no architecture {json.dumps(names)[:80]}", where=str(path))
    try:
        model, told = kind.from_pretrained(
            str(fresh),
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told below, by name
        )
    except MemoryError:
        raise
    except Exception as error:
        raise BadInput(f"transformers cannot take it: {first_line(error)}", where=str(path)) from error
    lacking = sorted(map(str, told["missing_keys"]))
    lacking += [
        f"{name} {list(have)} instead of {list(want)}" for name, have, want in told["mismatched_keys"]
    ]
    if lacking:
        raise BadInput(
            f"weights of {names[0]} are missing in the folder, or of another shape: {', '.join(lacking[:5])}"
            + (f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""),
            where=str(path),
            hint="they would be random: save the trained model with save_pretrained(), or correct `architectures`",
        )
    if told["unexpected_keys"]:
        notes.append(f"{len(told['unexpected_keys'])} weights of the folder are not used by {names[0]}")
    return model.eval()


def by_name(answers: Any, outputs: list[str]) -> tuple[Any, ...]:
    """The tensors of a model's answer by the outputs' names, or by place where it has another name for one."""
    fields = answers.to_tuple()
    return tuple(answers[name] if name in answers else fields[at] for at, name in enumerate(outputs))


def export(model: Any, signature: Signature) -> onnx.ModelProto:
    """The ONNX graph of the model with the signature's inputs and outputs. Raises ValueError."""
    import torch

    from modelpack.formats.onnx_export import free_batch, quiet

    inputs, outputs = ([tensor.name for tensor in side] for side in (signature.inputs, signature.outputs))

    class Named(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *given: Any) -> Any:
            return by_name(self.model(**dict(zip(inputs, given, strict=True))), outputs)

    given = tuple(
        torch.ones([2 if size == -1 else size for size in one.shape], dtype=torch.int64)
        for one in signature.inputs
    )
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            Named(),
            given,
            dynamo=True,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=(free_batch(signature),),
            verbose=False,
        )
    if program is None:
        raise ValueError("the exporter gave no program")
    graph: onnx.ModelProto = program.model_proto
    return graph
