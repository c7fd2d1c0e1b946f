"""A model on its way through the passes, and what was measured of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

TORCH = "torch"
HUGGING_FACE = "hugging-face"
ONNX = "onnx"
OPENVINO = "openvino"
MEGABYTE = 1e6
SESSION = "session.json"
"""Options of the runtime's session, in a file beside the model: {"cuda_graph": true}."""


@dataclass(frozen=True)
class Variant:
    """A model in one `format` (`TORCH`: a `.safetensors` file; `ONNX`: a graph beside its weights;
    `OPENVINO`: IR, `model.xml` beside `model.bin`; `HUGGING_FACE`: a language model's weights
    beside `config.json`).

    `path` is the main file; everything the model needs lies in its folder, and nothing else does.
    """

    format: str
    path: Path
    passes: tuple[str, ...] = ()

    @property
    def files(self) -> dict[str, Path]:
        """File name -> path, sorted."""
        return {path.name: path for path in sorted(self.path.parent.iterdir()) if path.is_file()}

    @property
    def session(self) -> dict[str, Any]:
        """Options for the runtime's session; empty when no pass set any."""
        path = self.path.parent / SESSION
        found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        return found

    @property
    def size_mb(self) -> float:
        """All files together, in MB (1e6 bytes)."""
        return sum(path.stat().st_size for path in self.files.values()) / MEGABYTE


@dataclass(frozen=True)
class Measured:
    """Figures of one variant on one piece of hardware.

    `metric` in the use case's unit; latency of one request in ms of wall time, from the quietest window;
    `rows_per_cpu_s` requests per second of processor time, in full batches; `size_mb` of 1e6 bytes; `peak_mb`
    the memory of a fresh process that loads the variant and answers one batch, None where it was not measured.
    """

    metric: float
    p50_ms: float
    p99_ms: float
    rows_per_cpu_s: float
    size_mb: float
    hardware: str
    peak_mb: float | None = None
    more: Mapping[str, float] = field(default_factory=dict)

    def as_data(self) -> dict[str, Any]:
        """As the record writes it."""
        data: dict[str, Any] = asdict(self)
        more: Mapping[str, float] = data.pop("more")
        return {**data, **more}
