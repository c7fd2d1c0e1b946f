"""Type the real command line as a person would, in a home of one's own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warm_commands import is_warm, run_warm, start_warm

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 1800
"""The most that one command may take, on a machine that is busy with other things."""


@dataclass(frozen=True)
class Typed:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Terminal:
    """A folder to type in, with a home that belongs to the test; downloads are shared with everybody.

    `python` has our dependencies: this interpreter, unless the test runs in an environment that is not ours.
    `variables`: what the shell there has set beside. EKS clusters are records alone unless these say otherwise.
    """

    folder: Path
    home: Path
    python: str = sys.executable
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PULUMI_"))}
        cache = os.environ.get("ECOMDEPLOY_CACHE") or str(Path.home() / ".cache" / "ecomdeploy")
        ours = {"ECOMDEPLOY_HOME": str(self.home), "ECOMDEPLOY_CACHE": cache, "PYTHONPATH": str(ROOT)}
        # a control plane for every platform that a story has would cost more than the story
        ours["ECOMDEPLOY_LOCAL_EKS"] = "records"
        return {**kept, **ours, **self.variables}

    def type(self, *arguments: str, expect: int | None = 0) -> Typed:
        """Run `ecomdeploy <arguments>`; with `expect` its exit code must be that."""
        typed = self.run(*arguments)
        assert "Traceback" not in typed.err, typed.err
        assert expect is None or typed.code == expect, (
            f"{arguments}: exit {typed.code}\n{typed.out}\n{typed.err}"
        )
        return typed

    def run(self, *arguments: str) -> Typed:
        """The process, until it ends: forked where that is the same."""
        if self.python == sys.executable and is_warm(self.environment):
            return Typed(*run_warm(arguments, self.folder, self.environment, SECONDS))
        done = subprocess.run(
            [self.python, "-m", "cli.app", *arguments],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=SECONDS,
        )  # fmt: skip
        return Typed(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command and come back at once."""
        return subprocess.Popen(
            [self.python, "-m", "cli.app", *arguments],
            cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def killed(self, *arguments: str, when: Callable[[str], bool]) -> int:
        """Start a command and `kill -9` it when what it has said on stderr satisfies `when`; its exit code."""
        process, stream = start_warm(arguments, self.folder, self.environment)
        said = ""
        bound = threading.Timer(SECONDS, process.terminate)  # ends with a code that no caller expects
        bound.daemon = True
        bound.start()
        with stream:
            for line in stream:
                said += line
                if when(said):
                    process.kill()
                    break
        process.join()
        bound.cancel()
        assert process.exitcode is not None
        return process.exitcode

    def into(self, name: str) -> Terminal:
        return Terminal(self.folder / name, self.home, self.python)

    def edit(self, pattern: str, replacement: str, file: str = "ecomdeploy.yaml") -> None:
        """Change the spec as in an editor; the pattern must be there."""
        path = self.folder / file
        text, count = re.subn(pattern, replacement, path.read_text(), flags=re.M)
        assert count, f"{pattern!r} is not in {file}"
        path.write_text(text)

    def client(self, service: str) -> Any:
        """The stock AWS SDK, pointed at the local cloud by nothing but `ecomdeploy cloud env`."""
        import boto3

        variables = self.type("cloud", "env", "--json").json
        return boto3.session.Session().client(
            service,
            endpoint_url=variables["AWS_ENDPOINT_URL"],
            region_name=variables["AWS_REGION"],
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        )

    def counts(self) -> dict[str, int]:
        """Calls the local cloud has seen, by kind."""
        from infra.rehearsal.cloud.client import LocalCloud
        from modelpack.home import Home

        found: dict[str, int] = LocalCloud(Home(self.home, self.home / "cache")).counts()
        return found

    def operations(self) -> dict[str, int]:
        """The same by operation ("ec2:CreateVpc")."""
        from infra.rehearsal.cloud.client import LocalCloud
        from modelpack.home import Home

        return dict(LocalCloud(Home(self.home, self.home / "cache")).operations())

    def end(self) -> None:
        """Stop the local cloud of this home, where there is one."""
        if (self.home / "cloud").exists():
            self.type("cloud", "stop", "--json", expect=None)


@dataclass
class Poller:
    """A client that asks every 50 ms and keeps what went wrong."""

    invoke: Callable[[], Any]
    every: float = 0.05
    requests: int = 0
    errors: list[str] = field(default_factory=list)
    slowest: float = 0.0
    halt: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    def __enter__(self) -> Poller:
        self.thread = threading.Thread(target=self.poll, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.halt.set()
        assert self.thread is not None
        self.thread.join(SECONDS)

    def poll(self) -> None:
        while not self.halt.wait(self.every):
            began = time.monotonic()
            try:
                self.invoke()
            except Exception as error:
                self.errors.append(f"{type(error).__name__}: {error}")
            self.requests += 1
            self.slowest = max(self.slowest, time.monotonic() - began)


def asking(terminal: Terminal, predicted: Mapping[str, Any]) -> Callable[[], Any]:
    """A call of the stock SDK with the request of a `predict --json`."""
    runtime = terminal.client("sagemaker-runtime")
    body = json.dumps(predicted["request"]).encode()

    def ask() -> Any:
        answer = runtime.invoke_endpoint(
            EndpointName=predicted["endpoint"], Body=body, ContentType=predicted["content_type"]
        )
        return json.loads(answer["Body"].read())["predictions"]

    return ask
