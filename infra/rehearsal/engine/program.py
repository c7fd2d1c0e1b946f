"""Runs the program: an inline one through its language host (`--client`), a folder in a child interpreter."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from infra.rehearsal.engine.child import SAID
from infra.rehearsal.engine.events import Events

CHILD: Final = Path(__file__).with_name("child.py")
PACKAGES: Final = Path(__file__).parents[3]
"""The folder that holds the package `infra`, at the end of a program's search path."""
POLL_SECONDS: Final = 0.5
HIDDEN_FROM_PROGRAMS: Final = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")


class ProgramFailed(Exception):
    """The program ended badly; it has said why itself if the text is empty."""


@dataclass(frozen=True)
class Program:
    """What to run, with what. `client` is an inline program's language host, else `folder`/`entry` is run."""

    project: str
    stack: str
    root: Path
    folder: Path
    entry: str
    interpreter: str
    config: Mapping[str, str]
    secret_keys: Sequence[str]
    client: str
    preview: bool
    parallel: int
    environment: Mapping[str, str]

    @property
    def asset_folder(self) -> Path:
        """Where relative paths of assets start."""
        return Path.cwd() if self.client else self.folder


def run(program: Program, address: str, events: Events) -> None:
    """Run to the end; raises `ProgramFailed`."""
    if program.client:
        _run_inline(program, address)
    else:
        _run_folder(program, address, events)


def _run_inline(program: Program, address: str) -> None:
    import grpc
    from pulumi.runtime.proto import language_pb2, language_pb2_grpc

    request = language_pb2.RunRequest(
        project=program.project,
        stack=program.stack,
        organization="organization",
        pwd=str(program.folder),
        args=[address],
        monitor_address=address,
        config=dict(program.config),
        configSecretKeys=list(program.secret_keys),
        dryRun=program.preview,
        parallel=program.parallel,
    )
    with grpc.insecure_channel(program.client, options=[("grpc.enable_http_proxy", 0)]) as channel:
        call = language_pb2_grpc.LanguageRuntimeStub(channel).Run.future(request)
        try:
            answer = _result(call)
        except grpc.RpcError as error:
            raise ProgramFailed(
                f"the program's language host at {program.client}: {error.details()}"
            ) from error
        except BaseException:
            call.cancel()
            raise
    if answer.error or answer.bail:
        raise ProgramFailed


def _result(call: Any) -> Any:
    """Waits in short turns, so that Ctrl-C gets through."""
    import grpc

    while True:
        with contextlib.suppress(grpc.FutureTimeoutError):
            return call.result(timeout=POLL_SECONDS)


def _run_folder(program: Program, address: str, events: Events) -> None:
    entry = program.folder / program.entry
    if not entry.is_file():
        raise ProgramFailed(f"no program at {entry}")
    request = {
        "project": program.project,
        "stack": program.stack,
        "root": str(program.root),
        "folder": str(program.folder),
        "entry": program.entry,
        "search": [str(PACKAGES)],
        "config": dict(program.config),
        "secret_keys": list(program.secret_keys),
        "preview": program.preview,
        "parallel": program.parallel,
        "address": address,
    }
    environment = {
        key: value for key, value in program.environment.items() if key not in HIDDEN_FROM_PROGRAMS
    }
    process = subprocess.Popen(
        [program.interpreter, "-P", str(CHILD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=environment,
        process_group=0,
    )
    with _ended(process):
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        tail: list[str] = []
        readers = [_forward(process.stdout, events, []), _forward(process.stderr, events, tail)]
        with contextlib.suppress(BrokenPipeError):
            json.dump(request, process.stdin)
            process.stdin.close()
        status = process.wait()
        for reader in readers:
            reader.join()
    if status == SAID:
        raise ProgramFailed
    if status:
        last = f": {tail[-1]}" if tail else ""
        raise ProgramFailed(f"the program's interpreter ended with status {status}{last}")


def _forward(stream: IO[str], events: Events, lines: list[str]) -> threading.Thread:
    """What the program prints becomes info messages."""

    def pump() -> None:
        for line in stream:
            lines.append(line.rstrip())
            events.diagnostic("info", line.rstrip())

    thread = threading.Thread(target=pump, daemon=True)
    thread.start()
    return thread


@contextlib.contextmanager
def _ended(process: subprocess.Popen[str]) -> Iterator[None]:
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


def interpreter_for(root: Path, options: Mapping[str, Any]) -> str:
    """This interpreter, or the one of the virtual environment that Pulumi.yaml names and that exists."""
    named = options.get("virtualenv")
    if named:
        candidate = root / str(named) / "bin" / "python"
        if candidate.exists():
            return str(candidate)
    return sys.executable
