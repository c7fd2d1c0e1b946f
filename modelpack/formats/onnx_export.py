"""What every export of a torch module needs."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

from modelpack.formats.signature import Signature

MOST_AXES = 8


def free_batch(signature: Signature) -> tuple[dict[int, Any], ...]:
    """The dimensions that differ from request to request: the batch, and others that all inputs share by place."""
    import torch

    axes = [torch.export.Dim("batch"), *(torch.export.Dim(f"axis{place}") for place in range(1, MOST_AXES))]
    return tuple(
        {place: axes[place] for place, size in enumerate(tensor.shape) if size == -1}
        for tensor in signature.inputs
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The exporter talks on stdout and through warnings and logging; what matters comes as an exception."""
    loud = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loud]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loud:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loud, levels, strict=True):
                logger.setLevel(level)
