"""Runs a program folder in its own interpreter: `python -P child.py < request.json`. Imports nothing of ours.

The SDK's wheel has no `pulumi-language-python-exec` (it ships with the CLI); this makes the same calls.
Exit status: 0 done, 32 failed and already said why, anything else a crash.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import runpy
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

SAID = 32
DEBUG = 0


class QuietEngine:
    """The engine's stub without debug messages: the SDK sends some ten of them per resource."""

    def __init__(self, stub: Any) -> None:
        self._stub = stub

    def Log(self, request: Any) -> None:  # noqa: N802
        if request.severity != DEBUG:
            self._stub.Log(request)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stub, name)


def explain(error: BaseException, folder: str) -> str:
    """The traceback from the program's first own frame on."""
    trace = traceback.TracebackException.from_exception(error)
    first = next((place for place, frame in enumerate(trace.stack) if frame.filename.startswith(folder)), 0)
    trace.stack = traceback.StackSummary.from_list(trace.stack[first:])
    trace.__cause__ = trace.__context__ = None
    return "".join(trace.format()).rstrip()


def main() -> int:
    """Run the program that standard input describes; returns the exit status."""
    request = json.load(sys.stdin)
    folder = request["folder"]
    sys.path.insert(0, folder)
    sys.path.extend(request["search"])
    os.chdir(folder)

    import grpc
    from pulumi import RunError, log, runtime
    from pulumi.runtime.proto import engine_pb2_grpc

    channel = grpc.insecure_channel(request["address"], options=[("grpc.enable_http_proxy", 0)])
    runtime.reset_options(
        project=request["project"],
        stack=request["stack"],
        organization="organization",
        root_directory=request["root"],
        parallel=request["parallel"],
        preview=request["preview"],
        engine_address=QuietEngine(engine_pb2_grpc.EngineStub(channel)),  # type: ignore[arg-type]
        monitor_address=request["address"],
    )
    runtime.set_all_config(request["config"], request["secret_keys"])
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(max_workers=request["parallel"] * 4))

    def program() -> None:
        runpy.run_path(str(Path(folder, request["entry"])), run_name="__main__")

    try:
        loop.run_until_complete(runtime.run_in_stack(program))
    except RunError as error:
        log.error(str(error))
        return SAID
    except BaseException as error:
        log.error(f"Program failed with an unhandled exception:\n{explain(error, folder)}")
        return SAID
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                loop.run_until_complete(task)
        loop.close()
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
