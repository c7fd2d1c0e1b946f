"""The SageMaker container contract: `GET /ping`, `POST /invocations`.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from modelpack.server.engines.base import Arrays

CUSTOM_ATTRIBUTES = b"x-amzn-sagemaker-custom-attributes"
"""The header that SageMaker hands through to the caller; it carries the content digest."""

_encoder = msgspec.json.Encoder()


def predictions(outputs: Arrays) -> bytes:
    """`{"predictions": [{output: value}]}`, a row each."""
    return _encoder.encode({"predictions": rows(outputs)})


def rows(outputs: Arrays) -> list[dict[str, Any]]:
    """`{output: value}` for each row."""
    names = tuple(outputs)
    columns: Sequence[Any] = [outputs[name].tolist() for name in names]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
