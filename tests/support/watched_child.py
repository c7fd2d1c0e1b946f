"""The process that reads a stranger's model, with somebody who writes down what it tries: `python ... HERE ROOT`.

A copy of this file stands beside `<its name>.report`, where every act that no reading of a model needs is noted, one a
line: a program or a process started, a socket, a file opened for writing outside its folder, a name that a pickle
imports, a library that lies elsewhere than packages do, code made from text that comes from the model.
"""

from __future__ import annotations

import os
import re
import runpy
import sys
import types
from typing import Any

STARTS = re.compile(
    r"os\.(system|exec|posix_spawn|spawn|fork|forkpty|kill|killpg)|subprocess\.Popen|pty\.spawn|socket\.\w+"
    r"|(urllib|ftplib|http\.client|smtplib)\..*"
)
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
ALLOWED = ("/dev/null", "/dev/zero")
PACKAGES = tuple({sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64", *(p for p in sys.path if p)})
CANARY = re.compile(r"/canary|touch |__import__\(")


class Watch:
    """The audit hook. It only writes down: what refuses is the product."""

    def __init__(self, report: int) -> None:
        self.report = report
        self.inside = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.inside:
            return
        self.inside = True
        try:
            if words := self.describe(event, arguments):
                os.write(self.report, f"{event} {words}"[:500].replace("\n", " ").encode() + b"\n")
        finally:
            self.inside = False

    def describe(self, event: str, arguments: tuple[Any, ...]) -> str:
        """What is wrong with it; "" for what reading needs."""
        if STARTS.fullmatch(event) and event != "socket.gethostname":
            return repr(arguments[:2])
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES:
            return "" if self.is_own(arguments[0]) else repr(arguments[0])
        if event == "pickle.find_class":
            return repr(arguments)
        if event == "ctypes.dlopen" and isinstance(arguments[0], str) and arguments[0].startswith("/"):
            return "" if os.path.realpath(arguments[0]).startswith(PACKAGES) else repr(arguments[0])
        if event == "compile" and CANARY.search(str(arguments[0])[:10_000]):
            return repr(arguments[0])
        if event == "exec" and isinstance(arguments[0], types.CodeType) and not is_packaged(arguments[0]):
            return "" if not CANARY.search(repr(arguments[0].co_consts)) else repr(arguments[0])
        return ""

    def is_own(self, path: Any) -> bool:
        """Whether it may be written: an open file, a device, or something below the working folder."""
        if not isinstance(path, str | bytes):
            return True
        found = os.path.realpath(os.fsdecode(path))
        own = os.path.dirname(os.path.realpath(os.getcwd()))
        return found in ALLOWED or (".reading-" in own and found.startswith(own + os.sep))


def is_packaged(code: types.CodeType) -> bool:
    """Whether code comes from an installed file."""
    return code.co_filename.startswith(("/", "<frozen"))


if __name__ == "__main__":
    opened = os.open(f"{__file__}.report", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    root = sys.argv[1]
    sys.addaudithook(Watch(opened))
    runpy.run_path(f"{root}/modelpack/sources/sandbox/child.py", run_name="__main__")
