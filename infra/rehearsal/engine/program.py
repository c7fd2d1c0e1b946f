"""Runs the program: an inline one through its language host (`--client`), a folder in a child interpreter."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import grpc
from pulumi.runtime.proto import language_pb2_grpc

from infra.rehearsal.engine.child import SAID
from infra.rehearsal.engine.errors import EngineError, Stopped
from infra.rehearsal.engine.events import CHANNEL, Events
from modelpack.inputs.children import ISOLATED, child_environment

CHILD: Final = Path(__file__).with_name("child.py")
PACKAGES: Final = Path(__file__).parents[3]
"""The folder that holds the package `infra`, at the end of a program's search path."""
POLL_SECONDS: Final = 0.5
HIDDEN_FROM_PROGRAMS: Final = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")


def run_inline(request: Any, client: str) -> None:
    """Have the language host at `client` run its program.

    `request` is a `pulumirpc.RunRequest`. Raises `Stopped` where the program has said itself why it failed,
    else `EngineError`.
    """
    with grpc.insecure_channel(client, options=CHANNEL) as channel:
        call = language_pb2_grpc.LanguageRuntimeStub(channel).Run.future(request)
        try:
            answer = _result(call)
        except grpc.RpcError as error:
            raise EngineError(f"the program's language host at {client}: {error.details()}") from error
        except BaseException:
            call.cancel()
            raise
    if answer.error or answer.bail:
        raise Stopped


def _result(call: Any) -> Any:
    """Waits in short turns, so that Ctrl-C gets through."""
    while True:
        with contextlib.suppress(grpc.FutureTimeoutError):
            return call.result(timeout=POLL_SECONDS)


def run_folder(request: Any, folder: Path, environment: Mapping[str, str], events: Events) -> None:
    """Run the `__main__.py` of a folder; what it prints becomes messages. Raises like `run_inline`."""
    if not (folder / "__main__.py").is_file():
        raise EngineError(f"no program at {folder / '__main__.py'}")
    process = subprocess.Popen(
        [*ISOLATED, str(CHILD), str(folder), str(PACKAGES)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=child_environment(
            {key: value for key, value in environment.items() if key not in HIDDEN_FROM_PROGRAMS}
        ),
        process_group=0,
    )
    with _end_with_us(process):
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(request.SerializeToString())
            process.stdin.close()
        for line in process.stdout:
            events.diagnostic("info", line.decode(errors="replace").rstrip())
        status = process.wait()
    if status == SAID:
        raise Stopped
    if status:
        raise EngineError(f"the program's interpreter ended with status {status}")


@contextlib.contextmanager
def _end_with_us(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """The program does not outlive us, whatever happens."""
    try:
        yield
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
