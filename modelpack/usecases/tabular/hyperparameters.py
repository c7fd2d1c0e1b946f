"""What a use case sets of the ways to train on a table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Dense:
    """Sizes and rates of dense layers: AdamW (Loshchilov & Hutter, arXiv:1711.05101) under one cycle (Smith & Topin,
    arXiv:1708.07120)."""

    hidden: tuple[int, ...] = (128, 64)
    dropout: float = 0.1
    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    batch: int = 512


@dataclass(frozen=True)
class Boosting:
    """LightGBM's own options; `rounds` trees."""

    rounds: int = 300
    leaves: int = 31
    depth: int = 8
    learning_rate: float = 0.05
    rows_per_leaf: int = 50
    feature_share: float = 0.8
    row_share: float = 0.8
    l2: float = 1.0
    objective: str | None = None
