"""The language model as the folder that Hugging Face's libraries and vLLM read, and back.

Tensor names and sizes: https://huggingface.co/docs/transformers/model_doc/llama (`LlamaForCausalLM`). There rotary
positions turn the first half of a head's numbers against the second, here and in GGUF files neighbouring pairs: the
rows of queries and keys are put in that order. Weights are in bfloat16, which rounds what was published.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from modelpack.errors import BadInput
from modelpack.language.llama import Llama, LlamaShape, assemble

CONFIG, WEIGHTS = "config.json", "model.safetensors"
ARCHITECTURE = "LlamaForCausalLM"
LAYER = {"attention_norm": "input_layernorm", "attended": "self_attn.o_proj", "outer": "mlp.down_proj"}
LAYER |= {"inner_norm": "post_attention_layernorm"}
"""Our parameters of a layer that are one of theirs."""
MIXED = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
INNER = ("mlp.gate_proj", "mlp.up_proj")


def write(model: Llama, folder: Path) -> Path:
    """The folder, without `tokenizer.json`, which lies beside the model anyway; its weights' path. The same model gives
    the same bytes."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: value.to(torch.bfloat16).contiguous()
        for name, value in theirs(model.state_dict(), model.shape).items()
    }
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    words = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    for name, content in ((CONFIG, configuration(model.shape)), ("tokenizer_config.json", words)):
        (folder / name).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    return folder / WEIGHTS


def read(folder: Path, most_new: int) -> Llama:
    """The model of a folder, in float32. Raises BadInput for another architecture or a damaged folder."""
    from safetensors.torch import load_file

    try:
        found = json.loads((folder / CONFIG).read_text())
        shape = read_shape(found, most_new)
        tensors = {name: value.to(torch.float32) for name, value in load_file(folder / WEIGHTS).items()}
        return assemble(shape, {}, ours(tensors, shape))
    except BadInput:
        raise
    except Exception as problem:
        words = f"{type(problem).__name__}: {problem}".splitlines()[0]
        raise BadInput(f"not a folder of a Llama model: {words}", where=str(folder)) from problem


def configuration(shape: LlamaShape) -> dict[str, Any]:
    """`config.json`."""
    return {
        "architectures": [ARCHITECTURE],
        "attention_bias": False,
        "bos_token_id": None,
        "dtype": "bfloat16",
        "eos_token_id": shape.end,
        "head_dim": shape.size,
        "hidden_act": "silu",
        "hidden_size": shape.width,
        "intermediate_size": shape.inner,
        "max_position_embeddings": shape.longest,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.groups,
        "rms_norm_eps": shape.epsilon,
        "rope_parameters": {"rope_theta": shape.base, "rope_type": "default"},
        "tie_word_embeddings": True,
        "vocab_size": shape.vocabulary,
    }


def read_shape(found: dict[str, Any], most_new: int) -> LlamaShape:
    """The inverse of `configuration`. Raises BadInput for a Llama that this model is not, KeyError for a gap."""
    shape = LlamaShape(
        vocabulary=found["vocab_size"],
        width=found["hidden_size"],
        inner=found["intermediate_size"],
        layers=found["num_hidden_layers"],
        heads=found["num_attention_heads"],
        groups=found["num_key_value_heads"],
        base=found["rope_parameters"]["rope_theta"],
        epsilon=found["rms_norm_eps"],
        end=found["eos_token_id"],
        most_new=most_new,
        longest=found["max_position_embeddings"],
    )
    wanted = configuration(shape)
    for name in ("architectures", "rope_parameters", "tie_word_embeddings", "head_dim", "hidden_act"):
        if found.get(name) != wanted[name]:
            raise BadInput(f"{CONFIG}: {name} is {found.get(name)!r}; {wanted[name]!r} is known here")
    return shape


def theirs(tensors: dict[str, Tensor], shape: LlamaShape) -> dict[str, Tensor]:
    """Our parameters under their names."""
    found = {
        "model.embed_tokens.weight": tensors["words.weight"],
        "model.norm.weight": tensors["norm.weight"],
    }
    rows = [count * shape.size for count in (shape.heads, shape.groups, shape.groups)]
    for number in range(shape.layers):
        own, other = f"layers.{number}", f"model.layers.{number}"
        for mine, name in LAYER.items():
            found[f"{other}.{name}.weight"] = tensors[f"{own}.{mine}.weight"]
        query, key, value = torch.split(tensors[f"{own}.attention.weight"], rows)
        parts = (halves(query, shape), halves(key, shape), value)
        found |= {f"{other}.{name}.weight": part for name, part in zip(MIXED, parts, strict=True)}
        both = tensors[f"{own}.inner.weight"].chunk(2)
        found |= {f"{other}.{name}.weight": part for name, part in zip(INNER, both, strict=True)}
    return found


def ours(tensors: dict[str, Tensor], shape: LlamaShape) -> dict[str, Tensor]:
    """The inverse of `theirs`. Raises KeyError for a missing tensor."""
    found = {
        "words.weight": tensors["model.embed_tokens.weight"],
        "norm.weight": tensors["model.norm.weight"],
    }
    for number in range(shape.layers):
        own, other = f"layers.{number}", f"model.layers.{number}"
        for mine, name in LAYER.items():
            found[f"{own}.{mine}.weight"] = tensors[f"{other}.{name}.weight"]
        query, key, value = (tensors[f"{other}.{name}.weight"] for name in MIXED)
        found[f"{own}.attention.weight"] = torch.cat([pairs(query, shape), pairs(key, shape), value])
        found[f"{own}.inner.weight"] = torch.cat([tensors[f"{other}.{name}.weight"] for name in INNER])
    return found


def halves(rows: Tensor, shape: LlamaShape) -> Tensor:
    """Each head's rows from neighbouring pairs to first half and second half."""
    return rows.view(-1, shape.size // 2, 2, shape.width).transpose(1, 2).reshape(rows.shape)


def pairs(rows: Tensor, shape: LlamaShape) -> Tensor:
    """The inverse of `halves`."""
    return rows.view(-1, 2, shape.size // 2, shape.width).transpose(1, 2).reshape(rows.shape)
