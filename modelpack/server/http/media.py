"""Content types of `/invocations`, in and out: those of SageMaker's serializers.

sagemaker.readthedocs.io/en/stable/api/inference/serializers.html: JSON, JSON Lines, CSV, npy. An answer comes in the
first type of `Accept` that is known here, and in the request's own where nothing is asked.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from modelpack.server.engines.base import Arrays
from modelpack.server.http import sagemaker, tables
from modelpack.server.http.asgi import JSON
from modelpack.server.http.instances import Instances
from modelpack.server.http.refusal import Refusal

JSON_LINES = b"application/jsonlines"
CSV = b"text/csv"
NPY = b"application/x-npy"
ALIASES = {b"application/x-jsonlines": JSON_LINES, b"application/jsonl": JSON_LINES}
KNOWN = (JSON, JSON_LINES, CSV, NPY)
TAKEN = (*KNOWN, *ALIASES)

_encoder = msgspec.json.Encoder()


def decode(instances: Instances, kind: bytes, body: bytes) -> tuple[Arrays, int]:
    """The arrays by input name, and how many rows they have. Raises `Refusal` (400, 415)."""
    kind = ALIASES.get(kind, kind)
    if kind == JSON_LINES:
        return instances.decode_lines(body)
    if kind == CSV:
        return tables.decode_csv(instances, body)
    if kind == NPY:
        feeds, rows = tables.decode_npy(instances.inputs, instances.limits, body)
        return {**feeds, **instances.no_extra(rows)}, rows
    return instances.decode(body)


def encode(kind: bytes, outputs: Arrays) -> bytes:
    """The answer as that content type. Raises `Refusal` (406) where it cannot be."""
    if kind == JSON_LINES:
        return _encoder.encode_lines(sagemaker.rows(outputs))
    if kind == CSV:
        return tables.encode_csv(outputs)
    if kind == NPY:
        return tables.encode_npy(outputs)
    return sagemaker.predictions(outputs)


def choose(accept: bytes, asked_as: bytes) -> bytes:
    """The content type of the answer (RFC 9110, section 12.5.1). Raises `Refusal` (406)."""
    own = ALIASES.get(asked_as, asked_as)
    if accept in (b"", b"*/*", own):
        return own
    wanted = sorted(_preferences(accept), key=lambda pair: -pair[1]) if accept.strip() else [(b"*/*", 1.0)]
    refused = {name for name, weight in wanted if weight <= 0}
    for name, weight in wanted:
        if weight <= 0:
            continue
        for kind in (own, *KNOWN):
            if kind not in refused and _matches(ALIASES.get(name, name), kind):
                return kind
    offered = b", ".join(KNOWN).decode()
    raise Refusal(406, f"Accept: {accept[:200].decode('latin-1')!r} is not offered; there are {offered}")


def _preferences(accept: bytes) -> Sequence[tuple[bytes, float]]:
    found = []
    for part in accept.lower().split(b","):
        name, *parameters = (piece.strip() for piece in part.split(b";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith(b"q="):
                text = parameter[2:]
                weight = float(text) if text.replace(b".", b"", 1).isdigit() and len(text) < 6 else 0.0
        if name:
            found.append((name, weight))
    return found


def _matches(wanted: bytes, kind: bytes) -> bool:
    return wanted in (b"*/*", b"*", kind) or (wanted.endswith(b"/*") and kind.startswith(wanted[:-1]))
