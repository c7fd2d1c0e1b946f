"""`python -m counted_command FILE ARGUMENTS`: a command in this process, and what it took, counted, as JSON in FILE.

`heavy`: which of the packages below it imported; `modules`: how many in all; `models`: how often one was opened;
`reads`: how often the source of `infra` was read that was read most often, and which it is; `described`: likewise of
the descriptions of AWS's APIs.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

HEAVY = ("torch", "onnx", "onnxruntime", "pulumi", "pulumi_aws", "grpc", "botocore", "httpx", "numpy", "rich")
MODELS = (".onnx", ".safetensors", ".pt2")
ROOT = Path(__file__).parents[2]
INFRA = f"{ROOT / 'infra'}/"


def main(file: Path, arguments: list[str]) -> int:
    opened: list[str] = []
    read, described = Counter[str](), Counter[str]()

    def hear(event: str, details: tuple[Any, ...]) -> None:
        if event != "open":
            return
        name = str(details[0])
        if name.endswith(MODELS):
            opened.append(name)
        if name.endswith(".py") and name.startswith(INFRA):
            read[name] += 1
        if "/botocore/data/" in name:
            described[name] += 1

    sys.addaudithook(hear)
    from cli import app

    code = app.run(arguments)
    heavy = [name for name in HEAVY if name in sys.modules]
    counted = {
        "heavy": heavy,
        "modules": len(sys.modules),
        "models": len(opened),
        "reads": read.most_common(1),
        "described": described.most_common(1),
    }
    file.write_text(json.dumps(counted))
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
