"""Runs a program folder in its own interpreter: `python -P child.py FOLDER PACKAGES < RunRequest`.

The SDK's wheel has no `pulumi-language-python-exec` (it ships with the CLI); its language server for inline
programs does the same. Imports nothing of ours. Exit status: 0 done, 32 failed and said why, else a crash.
"""

from __future__ import annotations

import os
import runpy
import sys
import traceback

SAID = 32


def explain(error: BaseException, folder: str) -> str:
    """The traceback from the program's first own frame on."""
    trace = traceback.TracebackException.from_exception(error)
    first = next((place for place, frame in enumerate(trace.stack) if frame.filename.startswith(folder)), 0)
    trace.stack = traceback.StackSummary.from_list(trace.stack[first:])
    trace.__cause__ = trace.__context__ = None
    return "".join(trace.format()).rstrip()


def main(folder: str, packages: str) -> int:
    """Run the program that standard input asks for; returns the exit status."""
    sys.path.insert(0, folder)
    sys.path.append(packages)
    os.chdir(folder)

    from pulumi import RunError
    from pulumi.automation._server import LanguageServer
    from pulumi.runtime.proto import language_pb2

    def program() -> None:
        try:
            runpy.run_path(os.path.join(folder, "__main__.py"), run_name="__main__")
        except RunError:
            raise
        except Exception as error:
            raise RunError(f"Program failed with an unhandled exception:\n{explain(error, folder)}") from None

    request = language_pb2.RunRequest.FromString(sys.stdin.buffer.read())
    answer = LanguageServer(program).Run(request, None)  # type: ignore[no-untyped-call]
    return SAID if answer.error else 0


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
