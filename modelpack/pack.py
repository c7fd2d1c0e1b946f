"""A pack: the immutable result of a build, and where packs made here are remembered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modelpack.errors import EcomdeployError
from modelpack.home import Home, write_atomically
from modelpack.server.golden import Golden

PLATFORM = "linux/amd64"
RECORD = "application/vnd.ecomdeploy.record.v1+json"
SAMPLES = "application/vnd.ecomdeploy.samples.v1+json"


@dataclass(frozen=True, kw_only=True)
class Pack:
    """An image by digest with what is known of it.

    `digest` is the manifest's ("sha256:..."), `content_digest` what the server reports, `input_digest` names all
    inputs; `size_bytes` is what a first pull moves. `record` holds metric, measurements and provenance.
    """

    digest: str
    platform: str
    content_digest: str
    input_digest: str
    usecase: str
    size_bytes: int
    record: Mapping[str, Any]
    golden: tuple[Golden, ...]
    tolerance: Mapping[str, Mapping[str, Any]]

    def as_data(self) -> dict[str, Any]:
        """As JSON writes it."""
        return asdict(self)


def from_data(data: Mapping[str, Any]) -> Pack:
    """The inverse of `Pack.as_data`."""
    return Pack(**{**data, "golden": tuple(Golden(**one) for one in data["golden"])})


def load(home: Home, input_digest: str) -> Pack | None:
    """The pack made from these inputs, or None. Raises EcomdeployError when its file is damaged."""
    path = path_of(home, input_digest)
    if not path.is_file():
        return None
    try:
        return from_data(json.loads(path.read_text()))
    except (ValueError, KeyError, TypeError) as error:
        raise EcomdeployError(
            f"damaged: {error}", where=str(path), hint="delete the file and pack again"
        ) from error


def store(home: Home, pack: Pack) -> None:
    """Remember a pack; written whole or not at all."""
    write_atomically(path_of(home, pack.input_digest), encode(pack.as_data()))


def path_of(home: Home, input_digest: str) -> Path:
    """Where a pack is remembered."""
    return home.packs / f"{input_digest.removeprefix('sha256:')}.json"


def encode(data: Any) -> bytes:
    """JSON, the same bytes for the same data."""
    return (json.dumps(data, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()
