"""int8 for text encoders that keeps the ranking. A package, so that looking passes up does not load torch."""

from modelpack.passes.smooth.graph import SmoothInt8

__all__ = ["SmoothInt8"]
