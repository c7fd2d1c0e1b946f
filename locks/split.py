"""What `make lock` does with uv's list: torch and what it brings of CUDA in one file, all else in another.

    python locks/split.py LIST       writes locks/torch.txt and locks/dev.txt

They are apart because `TORCH_INDEX` may name another index for torch, whose builds have other hashes.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

TORCH = re.compile(r"(torch|triton|cuda-[a-z]+|nvidia-[a-z0-9-]+)==")
HEAD = "# By `make lock`: versions and sha256 of what `make install` installs; see docs/security.md.\n"


def main(listed: Path) -> None:
    """Split the list into its entries, each a line with its hashes below it."""
    entries = re.findall(r"^[^\s#].*\n(?:[ \t].*\n)*", listed.read_text(), re.MULTILINE)
    here = Path(__file__).parent
    for name, wanted in (("torch.txt", True), ("dev.txt", False)):
        chosen = [entry for entry in entries if bool(TORCH.match(entry)) is wanted]
        (here / name).write_text(HEAD + "".join(chosen))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
