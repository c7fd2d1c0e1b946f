"""`python -m counted_command FILE ARGUMENTS`: a command in this process, and what it took, counted, as JSON in FILE.

`heavy`: which of the packages below it imported; `modules`: how many in all; `models`: how often one was opened.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HEAVY = ("torch", "onnx", "onnxruntime", "pulumi", "pulumi_aws", "grpc", "botocore", "httpx", "numpy", "rich")
MODELS = (".onnx", ".safetensors", ".pt2")


def main(file: Path, arguments: list[str]) -> int:
    opened: list[str] = []

    def hear(event: str, details: tuple[Any, ...]) -> None:
        if event == "open" and str(details[0]).endswith(MODELS):
            opened.append(str(details[0]))

    sys.addaudithook(hear)
    from cli import app

    code = app.run(arguments)
    heavy = [name for name in HEAVY if name in sys.modules]
    counted = {"heavy": heavy, "modules": len(sys.modules), "models": len(opened)}
    file.write_text(json.dumps(counted))
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
