"""The process that reads a stranger's model: `python -I -P -B child.py ROOT`, with a JSON plan on standard input.

    {"source": "modelpack.sources.keras:Keras", "path": "/…/model.keras", "parts": ["/…/model.keras"],
     "folder": "/…/empty", "wanted": {"inputs": [{"name", "datatype", "shape"}], "outputs": […]} | null,
     "memory": bytes, "file": bytes, "seconds": processor time, "proof": bytes, "parent": PID}

Leaves `model.onnx` with its weights in `folder`, and `answer.json`: {"refused": words | null, "hint": words,
"notes": [words], "stage": what it was at}. What it prints is for people who look for a fault.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

ANSWER = "answer.json"
WORK, MADE = "work", "made"


def main() -> None:
    """Confine this process, then read."""
    root, plan = Path(sys.argv[1]), json.load(sys.stdin)
    sys.path.insert(0, str(root))
    from modelpack.sources.sandbox.confine import Limits, confine

    if os.getppid() != plan["parent"]:
        sys.exit("whoever asked has gone")
    folder = Path(plan["folder"])
    limits = Limits(plan["memory"], plan["file"], plan["seconds"])
    notes = confine(folder, [Path(part) for part in plan["parts"]], root, limits)
    for name in (WORK, MADE):
        (folder / name).mkdir()
    os.chdir(folder / WORK)
    tempfile.tempdir = str(folder / WORK)
    answer: dict[str, Any] = {"refused": None, "hint": "", "notes": notes}
    try:
        read(plan, folder, notes)
    except MemoryError:
        answer["refused"] = "memory"
    except Exception as error:
        answer |= told(error)
    (folder / ANSWER).write_text(json.dumps(answer))
    sys.stdout.flush()
    # Not through what libraries do at exit: it takes seconds, and what matters is written.
    os._exit(0)


def read(plan: dict[str, Any], folder: Path, notes: list[str]) -> None:
    """Let the format's own reader make a graph, check and keep it. Raises BadInput, and whatever a library raises."""
    import msgspec

    from modelpack.formats.signature import Signature
    from modelpack.sources.outputs import cut_maps
    from modelpack.sources.sandbox.proof import keep

    module, _, name = plan["source"].partition(":")
    source = getattr(importlib.import_module(module), name)()
    for library in source.hidden:
        sys.modules[library] = None  # type: ignore[assignment]
    wanted = msgspec.convert(plan["wanted"], Signature | None)
    path = Path(plan["path"])
    graph = source.convert(path, wanted, notes)
    notes += cut_maps(graph)
    keep(graph, path, folder / MADE, plan["proof"])


def told(error: Exception) -> dict[str, str]:
    """An error as the parent passes it on."""
    from modelpack.errors import BadInput

    if isinstance(error, BadInput):
        first = error.problems[0]
        return {"refused": first.what, "hint": error.hint or first.hint}
    if isinstance(error, ModuleNotFoundError) and error.name:
        return {"refused": f"it is read by {error.name}, which is not installed here", "hint": "missing"}
    if "alloc" in str(error):
        return {"refused": "memory", "hint": ""}
    traceback.print_exception(error)
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return {"refused": f"{type(error).__name__}: {line}", "hint": ""}


if __name__ == "__main__":
    main()
