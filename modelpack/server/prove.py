"""`python3 -m modelpack.server.prove ROOT`: the golden requests of the image unpacked at ROOT, answered here and now.

Where its GPU is absent the CPU stands in. Prints how many answers were right, and on which hardware.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from modelpack.server.engines import cuda
from modelpack.server.engines.load import choose, load
from modelpack.server.http.instances import Instances
from modelpack.server.ready import MODEL, check_golden, wrap
from modelpack.server.signature import read_signature


def prove(folder: Path, look: Callable[[], cuda.Device | str] = cuda.look) -> str:
    """The model of a folder with its `serving.json`. Raises `Unfit` for a wrong answer."""
    signature = read_signature(folder / "serving.json")
    choice = choose(signature, True, look)
    engine = wrap(signature, folder, load(signature, folder, choice))
    check_golden(signature, Instances(signature.inputs, extra=signature.extra_fields), engine)
    return f"{len(signature.golden)} {choice.hardware}"


if __name__ == "__main__":
    print(prove(Path(sys.argv[1]) / MODEL))
