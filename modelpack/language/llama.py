"""A Llama-style language model in plain PyTorch: the reference that every optimization is measured against.

Architecture: Touvron et al., arXiv:2302.13971, with grouped-query attention (Ainslie et al., arXiv:2305.13245); the
weights are SmolLM2's (Allal et al., arXiv:2502.02737). Rotary positions (Su et al., arXiv:2104.09864) turn
neighbouring pairs, as in GGUF files. `forward` answers whole prompts: greedy, with a cache of keys and values, one
prompt after another, so that its answers do not depend on who else asks.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from modelpack.language.gguf import Blocks

METADATA_KEY = "ecomdeploy"
KIND = "chat.llama/1"
NOTHING = -1
"""Fills up prompts and answers at their ends."""


@dataclass(frozen=True)
class LlamaShape:
    """Sizes of a model. `end` is the token that ends an answer, `most_new` the most tokens of one, `longest` the
    most tokens of prompt and answer together."""

    vocabulary: int
    width: int
    inner: int
    layers: int
    heads: int
    groups: int
    base: float
    epsilon: float
    end: int
    most_new: int
    longest: int

    @property
    def size(self) -> int:
        """Numbers per head."""
        return self.width // self.heads


PARTS = {
    "attention_norm": ("attn_norm",),
    "attention": ("attn_q", "attn_k", "attn_v"),
    "attended": ("attn_output",),
    "inner_norm": ("ffn_norm",),
    "inner": ("ffn_gate", "ffn_up"),
    "outer": ("ffn_down",),
}
"""Our layers' parameters, and what they are called in GGUF files."""

Cache = list[tuple[Tensor, Tensor]]
"""Keys and values per layer, (groups, longest, size)."""


class DecoderLayer(nn.Module):
    """Attention and a gated dense layer, each normalized before and with a residual."""

    def __init__(self, shape: LlamaShape) -> None:
        super().__init__()
        self.shape = shape
        rows = (shape.heads + 2 * shape.groups) * shape.size
        self.attention_norm = nn.RMSNorm(shape.width, shape.epsilon)
        self.attention = nn.Linear(shape.width, rows, bias=False)
        self.attended = nn.Linear(shape.width, shape.width, bias=False)
        self.inner_norm = nn.RMSNorm(shape.width, shape.epsilon)
        self.inner = nn.Linear(shape.width, 2 * shape.inner, bias=False)
        self.outer = nn.Linear(shape.inner, shape.width, bias=False)

    def forward(self, hidden: Tensor, past: int, turn: Tensor, cache: tuple[Tensor, Tensor]) -> Tensor:
        """`hidden` (tokens, width) after `past` tokens that lie in the `cache`; `turn` (tokens, size / 2)."""
        shape, count = self.shape, len(hidden)
        mixed = self.attention(self.attention_norm(hidden)).view(count, -1, shape.size).transpose(0, 1)
        query, key, value = mixed.split([shape.heads, shape.groups, shape.groups])
        keys, values = cache
        keys[:, past : past + count] = rotate(key, turn)
        values[:, past : past + count] = value
        answer = functional.scaled_dot_product_attention(
            rotate(query, turn)[None],
            keys[None, :, : past + count],
            values[None, :, : past + count],
            attn_mask=None if count == 1 else causal_mask(past, count),
            enable_gqa=True,
        )
        hidden = hidden + self.attended(answer[0].transpose(0, 1).reshape(count, shape.width))
        gate, up = self.inner(self.inner_norm(hidden)).chunk(2, dim=-1)
        result: Tensor = hidden + self.outer(functional.silu(gate) * up)
        return result


class Llama(nn.Module):
    """Token ids -> the answer's token ids. `blocks` are the weights as published, by parameter name."""

    def __init__(self, shape: LlamaShape, blocks: dict[str, Blocks] | None = None) -> None:
        super().__init__()
        self.shape = shape
        self.blocks = blocks or {}
        self.words = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(DecoderLayer(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, shape.epsilon)
        self.turns = turns(shape)
        self.prefix: tuple[int, ...] = ()
        """What prompts begin with; read once."""
        self.begun: Cache | None = None

    def empty(self) -> Cache:
        """A cache for one prompt and its answer."""
        size = (self.shape.groups, self.shape.longest, self.shape.size)
        return [(torch.zeros(size), torch.zeros(size)) for _ in self.layers]

    def step(self, ids: Tensor, past: int, cache: Cache) -> Tensor:
        """What may follow the last of `ids` (tokens,): logits (vocabulary,). `past` tokens lie in the cache."""
        return self.steps(ids, past, cache, 1)[0]

    def steps(self, ids: Tensor, past: int, cache: Cache, wanted: int) -> Tensor:
        """What may follow each of the `wanted` last of `ids`: logits (wanted, vocabulary)."""
        hidden = self.words(ids)
        turn = self.turns[past : past + len(ids)]
        for layer, own in zip(self.layers, cache, strict=True):
            hidden = layer(hidden, past, turn, own)
        return functional.linear(self.norm(hidden[-wanted:]), self.words.weight)

    def forward(self, ids: Tensor, scored: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`ids` (prompts, tokens), filled up with `NOTHING` -> the answers (prompts, most_new), likewise. Where
        `scored` (prompts) is not 0 nothing is written; the second output tells how likely that many last tokens are."""
        answers = torch.full((len(ids), self.shape.most_new), NOTHING, dtype=torch.int64)
        likelihood = torch.zeros(len(ids))
        for place, row in enumerate(ids):
            count = 0 if scored is None else int(scored[place])
            given = row[row != NOTHING]
            if count:
                likelihood[place] = self.likelihood(given, count)
            else:
                answers[place] = self.answer(given)
        return answers, likelihood

    def begin(self, prompt: Tensor) -> tuple[Cache, int]:
        """A cache, and how many tokens of the prompt lie in it: the prefix, or none. What lies after them is written
        over before it is read."""
        length = len(self.prefix)
        if not length or tuple(prompt[:length].tolist()) != self.prefix or len(prompt) <= length:
            return self.empty(), 0
        if self.begun is None:
            self.begun = self.empty()
            self.step(prompt[:length], 0, self.begun)
        return self.begun, length

    def likelihood(self, ids: Tensor, count: int) -> Tensor:
        """The sum of the logarithms of how likely the last `count` of `ids` are after those before them."""
        cache, past = self.begin(ids)
        past = min(past, len(ids) - 1 - count)
        logits = self.steps(ids[past:-1], past, cache, count).double().log_softmax(dim=1)
        return logits.gather(1, ids[-count:, None]).sum()

    def answer(self, prompt: Tensor) -> Tensor:
        """The most likely token again and again, until the end or `most_new`."""
        answer = torch.full((self.shape.most_new,), NOTHING, dtype=torch.int64)
        cache, past = self.begin(prompt)
        given = prompt[past:]
        for place in range(min(self.shape.most_new, self.shape.longest - len(prompt))):
            logits = self.step(given, past, cache)
            past += len(given)
            given = logits.argmax().view(1)
            if int(given) == self.shape.end:
                break
            answer[place] = given
        return answer


def turns(shape: LlamaShape) -> Tensor:
    """What each place turns its pairs by: complex numbers of length 1, (longest, size / 2)."""
    with torch.device("cpu"):
        speed = shape.base ** (-torch.arange(0, shape.size, 2, dtype=torch.float64) / shape.size)
        angles = torch.outer(torch.arange(shape.longest, dtype=torch.float64), speed)
        return torch.polar(torch.ones_like(angles), angles).to(torch.complex64)


def rotate(values: Tensor, turn: Tensor) -> Tensor:
    """Neighbouring pairs of `values` (heads, tokens, size) turned by the tokens' angles."""
    pairs = torch.view_as_complex(values.reshape(*values.shape[:-1], -1, 2).contiguous())
    return torch.view_as_real(pairs * turn).flatten(-2)


def causal_mask(past: int, count: int) -> Tensor:
    """Which tokens the new ones may look at, (new, all)."""
    return torch.ones(count, past + count, dtype=torch.bool).tril(past)


def save(model: Llama, path: Path) -> None:
    """The weights in the blocks they were published in, where they were, else in float32."""
    from safetensors.torch import save_file

    kinds = {name: [one.kind, list(one.shape)] for name, one in model.blocks.items()}
    tensors = {name: torch.from_numpy(one.data.copy()) for name, one in model.blocks.items()}
    tensors |= {name: value for name, value in model.state_dict().items() if name not in kinds}
    metadata = {"kind": KIND, "shape": asdict(model.shape), "blocks": kinds}
    save_file(
        {name: value.contiguous() for name, value in tensors.items()},
        path,
        {METADATA_KEY: json.dumps(metadata, sort_keys=True)},
    )


def load(path: Path, metadata: dict[str, Any]) -> Llama:
    """Read what `save` wrote. Raises KeyError, TypeError or RuntimeError when the file does not fit."""
    from safetensors.torch import load_file

    sizes = metadata["shape"]
    shape = LlamaShape(**{one.name: sizes[one.name] for one in fields(LlamaShape)})
    tensors = load_file(path)
    blocks = {
        name: Blocks(kind, tuple(size), np.asarray(tensors.pop(name).numpy()))
        for name, (kind, size) in metadata["blocks"].items()
    }
    return assemble(shape, blocks, tensors)


def assemble(shape: LlamaShape, blocks: dict[str, Blocks], others: dict[str, Tensor]) -> Llama:
    """A model of these weights, ready to answer."""
    with torch.device("meta"):
        model = Llama(shape, blocks)
    published = {name: torch.from_numpy(one.floats().copy()) for name, one in blocks.items()}
    model.load_state_dict(published | others, assign=True)
    return model.eval().requires_grad_(False)


def load_gguf(metadata: dict[str, Any], tensors: dict[str, Blocks], most_new: int, longest: int) -> Llama:
    """The model of a GGUF file (`llama` architecture, words also as the last layer)."""
    own = {key.removeprefix("llama."): value for key, value in metadata.items()}
    shape = LlamaShape(
        vocabulary=own["vocab_size"],
        width=own["embedding_length"],
        inner=own["feed_forward_length"],
        layers=own["block_count"],
        heads=own["attention.head_count"],
        groups=own["attention.head_count_kv"],
        base=own["rope.freq_base"],
        epsilon=own["attention.layer_norm_rms_epsilon"],
        end=own["tokenizer.ggml.eos_token_id"],
        most_new=most_new,
        longest=longest,
    )
    named = {"words.weight": tensors["token_embd.weight"], "norm.weight": tensors["output_norm.weight"]}
    for number in range(shape.layers):
        theirs, ours = f"blk.{number}", f"layers.{number}"
        for name, parts in PARTS.items():
            found = [tensors[f"{theirs}.{part}.weight"] for part in parts]
            named[f"{ours}.{name}.weight"] = found[0] if len(found) == 1 else stack(found)
    return assemble(shape, named, {})


def stack(parts: list[Blocks]) -> Blocks:
    """Matrices with equal columns above one another."""
    rows = sum(part.shape[0] for part in parts)
    return Blocks(parts[0].kind, (rows, parts[0].shape[1]), np.concatenate([part.data for part in parts]))
