"""The process that reads a stranger's model: `python -I -P -B child.py ROOT`, with a JSON plan on standard input.

    {"source": "modelpack.sources.keras:Keras", "path": "/…/model.keras", "parts": ["/…/model.keras"],
     "folder": "/…/empty", "wanted": {"inputs": [{"name", "datatype", "shape"}], "outputs": […]} | null,
     "memory": bytes, "file": bytes, "seconds": processor time, "proof": bytes, "parent": PID,
     "ask": {"signature": {…}, "most": rows a call} | null}

Leaves `model.onnx` with its weights in `folder`, and `answer.json`: {"refused": words | null, "hint": words,
"notes": [words]}. With "ask" it leaves instead what the library that wrote the model answers to `asked.safetensors`, in
`answered.safetensors`; the last note is that library's name and version. What it prints is for people who look for
a fault.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

ANSWER = "answer.json"
WORK, MADE = "work", "made"
ASKED, ANSWERED = "asked.safetensors", "answered.safetensors"


def main() -> None:
    """Confine this process, then read."""
    root, plan = Path(sys.argv[1]), json.load(sys.stdin)
    sys.path.insert(0, str(root))
    from modelpack.sources.sandbox.confine import ChildLimits, confine

    if os.getppid() != plan["parent"]:
        sys.exit("whoever asked has gone")
    folder = Path(plan["folder"])
    limits = ChildLimits(plan["memory"], plan["file"], plan["seconds"])
    notes = confine(folder, [Path(part) for part in plan["parts"]], root, limits)
    for name in (WORK, MADE):
        (folder / name).mkdir()
    os.chdir(folder / WORK)
    tempfile.tempdir = str(folder / WORK)
    answer: dict[str, Any] = {"refused": None, "hint": "", "notes": notes}
    try:
        (ask if plan["ask"] else read)(plan, folder, notes)
    except MemoryError:
        answer["refused"] = "memory"
    except Exception as error:
        answer |= tell(error)
    (folder / ANSWER).write_text(json.dumps(answer))
    sys.stdout.flush()
    # Not through what libraries do at exit: it takes seconds, and what matters is written.
    os._exit(0)


def read(plan: dict[str, Any], folder: Path, notes: list[str]) -> None:
    """Let the format's own reader make a graph, check and keep it. Raises BadInput, and whatever a library raises."""
    import msgspec

    from modelpack.formats.signature import Signature
    from modelpack.sources.outputs import cut_maps, take_plain_locale
    from modelpack.sources.sandbox.proof import keep

    source = source_of(plan)
    wanted = msgspec.convert(plan["wanted"], Signature | None)
    path = Path(plan["path"])
    graph = source.convert(path, wanted, notes)
    notes += cut_maps(graph)
    take_plain_locale(graph)
    keep(graph, path, folder / MADE, plan["proof"])


def ask(plan: dict[str, Any], folder: Path, notes: list[str]) -> None:
    """Let the library that wrote the model answer. Raises BadInput, and whatever the library raises."""
    import msgspec
    import numpy as np
    from safetensors.numpy import load_file, save_file

    from modelpack.formats.signature import Signature
    from modelpack.server.rows import in_cuts

    source = source_of(plan)
    run = source.original(Path(plan["path"]), msgspec.convert(plan["ask"]["signature"], Signature))
    answers = in_cuts(run, load_file(folder / ASKED), plan["ask"]["most"])
    save_file({name: np.ascontiguousarray(array) for name, array in answers.items()}, folder / ANSWERED)
    notes.append(f"{source.library} {importlib.import_module(source.library).__version__}")


def source_of(plan: dict[str, Any]) -> Any:
    """The format's reader, what it must not find hidden."""
    module, _, name = plan["source"].partition(":")
    source = getattr(importlib.import_module(module), name)()
    sys.meta_path[:] = finders_without(source.hidden, sys.meta_path)
    return source


def finders_without(names: Sequence[str], finders: Sequence[Any]) -> list[Any]:
    """What finds modules, but for these packages: they are not installed, as far as anybody can tell.

    A None in `sys.modules` would say the same to `import`, but libraries also look there for what is loaded (scipy).
    """

    class PathFinderWithout(PathFinder):
        @classmethod
        def find_spec(cls, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
            if fullname.partition(".")[0] in names:
                return None
            return super().find_spec(fullname, path, target)

    return [PathFinderWithout if one is PathFinder else one for one in finders]


def tell(error: Exception) -> dict[str, str]:
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
