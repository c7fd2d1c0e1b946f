"""What `make lock` does with uv's lists: each entry to the file of the environment that lacks it.

    python locks/split.py FOLDER       reads main, keras, sagemaker, spark and uv there; writes locks/*.txt

torch and what it brings of CUDA are apart because `TORCH_INDEX` may name another index, whose builds have other hashes.
The environment of Keras lies on top of the main one.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

TORCH = re.compile(r"(torch|triton|cuda-[a-z]+|nvidia-[a-z0-9-]+)==")
ENTRY = re.compile(r"^([^\s#=]+)==.*\n(?:[ \t].*\n)*", re.MULTILINE)
SEEDED = "setuptools"
"""A fresh environment of Python 3.11 has an old one, which would hide the main environment's."""
HEAD = "# By `make lock`: versions and sha256 of what `{}` installs; see docs/security.md.\n"
FOR = {
    "keras": "make test-keras",
    "sagemaker": "make test-sagemaker",
    "spark": "make test-spark",
    "uv": ".ci/run",
}


def main(folder: Path) -> None:
    """Write each environment's entries, a line with its hashes below it."""
    listed = {path.stem: list(ENTRY.finditer(path.read_text())) for path in folder.glob("*.txt")}
    below = {entry[1] for entry in listed["main"]} - {SEEDED}
    chosen = {
        "torch": [entry for entry in listed["main"] if TORCH.match(entry[0])],
        "dev": [entry for entry in listed["main"] if not TORCH.match(entry[0])],
        "keras": [entry for entry in listed["keras"] if entry[1] not in below],
        "sagemaker": listed["sagemaker"],
        "spark": listed["spark"],
        "uv": listed["uv"],
    }
    for name, entries in chosen.items():
        text = HEAD.format(FOR.get(name, "make install")) + "".join(entry[0] for entry in entries)
        (Path(__file__).parent / f"{name}.txt").write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
