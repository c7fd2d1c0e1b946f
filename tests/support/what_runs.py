"""Which of our files have a function that runs in a process.

`hook(folder, found)` writes a `sitecustomize` module for its PYTHONPATH: it leaves a file in `found` with the names of
the files that ran. Module and class bodies do not count: a catalogue's scan runs those of every plug-in.
"""

from __future__ import annotations

from pathlib import Path

HOOK = '''
import atexit, os, sys, threading

FUNCTION = 1  # CO_OPTIMIZED: a function's code, no module's or class'
ran = set()


def seen(frame, event, argument):
    """A trace of calls alone: no local trace, so neither lines, returns nor calls into C cost anything."""
    code = frame.f_code
    if code.co_filename not in ran and code.co_flags & FUNCTION and not within_a_body(frame):
        ran.add(code.co_filename)


def within_a_body(frame):
    # a comprehension of a module or class
    return frame.f_code.co_name.startswith("<") and not frame.f_back.f_code.co_flags & FUNCTION


@atexit.register
def leave():
    sys.settrace(None)
    with open(os.path.join({found!r}, str(os.getpid())), "w") as file:
        file.write("\\n".join(ran))


threading.settrace(seen)
sys.settrace(seen)
'''


def hook(folder: Path, found: Path) -> None:
    """Lay the hook into `folder`."""
    found.mkdir()
    (folder / "sitecustomize.py").write_text(HOOK.format(found=str(found)))


def files_run(found: Path, below: Path) -> list[set[Path]]:
    """For each process the files below `below` that ran."""
    return [
        {Path(line) for line in each.read_text().splitlines() if Path(line).is_relative_to(below)}
        for each in found.iterdir()
    ]
