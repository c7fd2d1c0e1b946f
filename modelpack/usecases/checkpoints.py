"""What a training keeps on its way, so that one that was interrupted goes on and ends with the same bytes."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from modelpack.home import write_atomically

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUFFIX = ".checkpoint"
HEADER = 32
"""Bytes of sha256 before the content."""
THREADS = 1
"""Of a training that repeats exactly."""


class Checkpoints(Protocol):
    """Pieces of one training by name. Whoever reads one must have asked for the same training: same data, code, options
    (`Inputs.training_digest`)."""

    def load(self, name: str) -> bytes | None:
        """The piece; None where there is none, or it is damaged."""
        ...

    def keep(self, name: str, content: bytes) -> None:
        """From now on the piece is this, also after a kill."""

    def within(self, name: str) -> Checkpoints:
        """Those of a part of the training."""
        ...


@dataclass(frozen=True)
class NoCheckpoints:
    """Nothing is kept."""

    def load(self, name: str) -> None:
        return None

    def keep(self, name: str, content: bytes) -> None:
        pass

    def within(self, name: str) -> NoCheckpoints:
        return self


NOTHING_KEPT = NoCheckpoints()


@dataclass(frozen=True)
class KeptCheckpoints:
    """Files `<folder>/<part>.<name>.checkpoint`, each written whole. `told` is told of a damaged one, `on_kept` of each
    that was kept."""

    folder: Path
    told: Callable[[str], None] = lambda line: None
    on_kept: Callable[[str], None] = lambda name: None
    part: tuple[str, ...] = field(default=())

    def load(self, name: str) -> bytes | None:
        path = self.path_of(name)
        try:
            whole = path.read_bytes()
        except OSError:
            return None
        digest, content = whole[:HEADER], whole[HEADER:]
        if hashlib.sha256(content).digest() != digest:
            self.told(f"the checkpoint {path.name} is damaged: this part is trained again")
            return None
        return content

    def keep(self, name: str, content: bytes) -> None:
        write_atomically(self.path_of(name), hashlib.sha256(content).digest() + content)
        self.on_kept(name)

    def within(self, name: str) -> KeptCheckpoints:
        return KeptCheckpoints(self.folder, self.told, self.on_kept, (*self.part, name))

    def path_of(self, name: str) -> Path:
        """Where a piece lies. Names are ours: letters, digits and "-"."""
        return self.folder / f"{'.'.join((*self.part, name))}{SUFFIX}"


def load_arrays(kept: Checkpoints, name: str) -> dict[str, NDArray[Any]] | None:
    """Arrays that `keep_arrays` kept; None where there are none."""
    import numpy as np

    content = kept.load(name)
    if content is None:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        return {key: found[key] for key in found.files}


def keep_arrays(kept: Checkpoints, name: str, arrays: dict[str, NDArray[Any]]) -> None:
    """Keep arrays by name."""
    import numpy as np

    if isinstance(kept, NoCheckpoints):
        return
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    kept.keep(name, stream.getvalue())
