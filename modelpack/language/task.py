"""What a use case offers whose model is a language model. Optional, as `modelpack.usecases.optional` is.

Asked by the exports (`passes/onnx.py`, `passes/hugging_face.py`), which write the model's own forms; by the runtimes
and the gate, since the model's graph is one step and whoever runs it loops; and for `serving.json`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from modelpack.server.signature import Decoding

if TYPE_CHECKING:
    import onnx


@runtime_checkable
class LanguageTask(Protocol):
    """Its models write text token by token, in a loop that stands outside of them."""

    @property
    def decoding(self) -> Decoding:
        """How the loop ends; `prepare` may complete it."""

    def step_graph(self, model: Any) -> onnx.ModelProto:
        """One step of the trained torch module as an ONNX graph."""

    def hugging_face_folder(self, model: Any, folder: Path) -> Path:
        """Write the trained torch module as a folder for Hugging Face's libraries; its weights' path."""


def decoding_of(task: object) -> Decoding | None:
    """How a language model's loop ends; None for any other model."""
    return task.decoding if isinstance(task, LanguageTask) else None
