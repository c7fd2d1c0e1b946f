"""GGUF files as the `gguf` package reads them: metadata, and tensors in the blocks that they were published in.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. A block holds 32 neighbouring weights of a row.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelpack.errors import BadInput

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Blocks:
    """A tensor as it lies in the file: `shape` (rows, columns) or (columns,), `kind` (the format's number of a tensor
    type), its `data`."""

    kind: int
    shape: tuple[int, ...]
    data: Bytes

    def floats(self) -> Floats:
        """The weights in float32."""
        from gguf import GGMLQuantizationType
        from gguf.quants import dequantize, quant_shape_to_byte_shape

        kind = GGMLQuantizationType(self.kind)
        floats: Floats = dequantize(self.data.reshape(quant_shape_to_byte_shape(self.shape, kind)), kind)
        return floats


def read(content: bytes) -> tuple[dict[str, Any], dict[str, Blocks]]:
    """Metadata and tensors by name. Raises BadInput for a damaged file.

    For files that are known by their digest: the reader does not bound what a hostile one makes it read.
    """
    from gguf import GGUFReader

    with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
        file.write(content)
        file.flush()
        try:
            found = GGUFReader(file.name)
            metadata = {name: field.contents() for name, field in found.fields.items()}
        except (IndexError, KeyError, OverflowError, ValueError) as error:
            raise BadInput(f"not a GGUF file, or a damaged one: {error}") from error
    return metadata, {
        one.name: Blocks(
            int(one.tensor_type), tuple(reversed(one.shape.tolist())), one.data.reshape(-1).view(np.uint8)
        )
        for one in found.tensors
    }
