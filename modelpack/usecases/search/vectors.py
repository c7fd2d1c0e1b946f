"""The index of a shop's products: one vector each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from modelpack.progress import Progress
from modelpack.runtimes import torch_thread
from modelpack.server.text import Tokenizer
from modelpack.usecases.search.encoding import batches

if TYPE_CHECKING:
    from modelpack.usecases.search.model import SearchModel


def index(model: SearchModel, tokenizer: Tokenizer, texts: Sequence[str], progress: Progress) -> None:
    """Give the model the vectors of its catalogue. Nothing is random, so the same weights give the same bytes."""
    import torch

    with (
        torch_thread.inference(),
        progress.track("encoding the catalogue", len(texts), "items") as advance,
    ):
        for places, ids, mask in batches(tokenizer, texts):
            vectors = model.encoder(torch.from_numpy(ids), torch.from_numpy(mask))
            model.vectors[:, torch.from_numpy(places)] = vectors.T
            advance(len(places))
