"""The program in the container: `python3 -m modelpack.server [serve]`.

    SAGEMAKER_BIND_TO_PORT   port (8080)
    ECOMDEPLOY_HOST          address to listen on (0.0.0.0)
    ECOMDEPLOY_ROOT          where the image's files are (/); lets it run from an unpacked image
    ECOMDEPLOY_SECRET_<NAME> where the value of the variable <NAME> is looked up (modelpack/server/secrets.py)
    ECOMDEPLOY_ALLOW_CPU     1: a GPU pack may serve on the CPU where there is no GPU (else it must not)
    ECOMDEPLOY_LIMIT_<NAME>  bounds of requests (http/limits.py)
    ECOMDEPLOY_RELEASE       what metrics in the log call this release (guardrails.py); without it none are written

The port opens at once and `/ping` answers 503 while files are hashed and the model loads; a container that
must not serve ends with status 3 and the reason in its log. SIGTERM: what was accepted is answered, then 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from modelpack.server import log
from modelpack.server.app import Application
from modelpack.server.engines.cuda import ALLOW
from modelpack.server.hashing import HashedFiles
from modelpack.server.http.connection import connection_class
from modelpack.server.http.limits import Limits
from modelpack.server.http.listening import refuse_new
from modelpack.server.http.metrics import Metrics
from modelpack.server.metric_names import RELEASE
from modelpack.server.secrets import NoSecret, reveal
from modelpack.server.signature import Unfit

if TYPE_CHECKING:
    from modelpack.server.guardrails import MetricLog
    from modelpack.server.ready import ReadyModel

BACKLOG = 2048
SETTLE_SECONDS = 0.3
"""After SIGTERM, for what is on its way into the process: handshakes, and requests that are sent but not read."""
DRAIN_SECONDS = 9
MUST_NOT_SERVE = 3


class Server(uvicorn.Server):
    """uvicorn that loses nothing it has accepted, and ends with status 0 after a drain, not by the signal it was
    sent."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # large bodies are read beside the loop, two at a time: more would only fight for the interpreter
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2, "aside"))
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """New connections are refused first, then what the kernel accepted before is let in and answered."""
        for one in sockets or []:
            refuse_new(one)
        self.server_state.default_headers.append((b"connection", b"close"))
        await asyncio.sleep(SETTLE_SECONDS)
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        yield


def main(arguments: Sequence[str], environment: Mapping[str, str], hashed: HashedFiles | None = None) -> int:
    """Run until told to stop; returns the exit status. `hashed`: the image's files, which are being hashed already."""
    if list(arguments) not in ([], ["serve"]):
        log.say("refused", reason=f"unknown arguments {list(arguments)}; the only one known is 'serve'")
        return 2
    port = environment.get("SAGEMAKER_BIND_TO_PORT", "8080")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        log.say("refused", reason=f"SAGEMAKER_BIND_TO_PORT={port!r} is not a port")
        return 2
    host = environment.get("ECOMDEPLOY_HOST", "0.0.0.0")  # noqa: S104 - a container is reached from outside
    try:
        limits = Limits.read(environment)
    except ValueError as problem:
        log.say("refused", reason=str(problem))
        return 2
    try:
        listener = socket.create_server(
            (host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=BACKLOG
        )
    except OSError as problem:
        log.say("refused", reason=f"cannot listen on {host}:{port}: {problem}")
        return 1
    application = Application(Metrics(), limits)
    server = Server(configure(application))
    root, allow_cpu = Path(environment.get("ECOMDEPLOY_ROOT", "/")), environment.get(ALLOW) == "1"
    preparation = Preparation(root, application, server, allow_cpu, hashed)
    preparation.start()
    log.say("listening", host=host, port=int(port), pid=os.getpid())
    server.run([listener])
    preparation.end()
    log.say("stopped")
    return preparation.status


def configure(application: Application) -> uvicorn.Config:
    """uvicorn's settings; connections are bounded by the application's limits."""
    return uvicorn.Config(
        application,
        loop="uvloop",
        http=connection_class(application.limits.stalled),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        timeout_keep_alive=75,
    )


class Preparation(threading.Thread):
    """Makes the model ready beside the open port; asks the server to end when it must not serve."""

    def __init__(
        self,
        root: Path,
        application: Application,
        server: Server,
        allow_cpu: bool = False,
        hashed: HashedFiles | None = None,
    ) -> None:
        super().__init__(name="preparation", daemon=True)
        self._hashed = hashed
        self._allow_cpu = allow_cpu
        self._root = root
        self._application = application
        self._server = server
        self._telling: MetricLog | None = None
        self.status = 0

    def run(self) -> None:
        started = time.perf_counter()
        try:
            # numpy and the runtime are imported here, while the main thread opens the port
            from modelpack.server.ready import prepare

            application = self._application
            os.environ.update(reveal(os.environ))
            served = prepare(
                self._root, application.metrics, self._allow_cpu, application.limits, self._hashed
            )
        except (Unfit, NoSecret) as reason:
            self._refuse(str(reason))
        except Exception as problem:
            self._refuse(f"{type(problem).__name__}: {problem}")
        else:
            self._application.serve(served)
            self._tell(served)
            seconds = round(time.perf_counter() - started, 3)
            said = {"content_digest": served.content_digest, "hardware": served.hardware, "seconds": seconds}
            log.say("ready", model=served.signature.model, **said)

    def _tell(self, served: ReadyModel) -> None:
        """Write metrics of the guardrails from now on, where there are any and the release is named."""
        from modelpack.server.guardrails import MetricLog, window_of

        release = os.environ.get(RELEASE)
        if served.guardrails is not None and release:
            self._telling = MetricLog(served.guardrails, release, window_of(os.environ))
            self._telling.start()

    def end(self) -> None:
        """What is left to write is written."""
        if self._telling is not None:
            self._telling.end()

    def _refuse(self, reason: str) -> None:
        self.status = MUST_NOT_SERVE
        log.say("refused", reason=reason)
        self._server.should_exit = True
