"""The AWS port's WSGI application: the daemon's own API, model invocations, everything else to the account."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from infra.rehearsal.cloud.aws.account import Account, Counts
from infra.rehearsal.cloud.aws.calls import Environ, identify
from infra.rehearsal.cloud.aws.runtime import INVOCATION, Runtime
from infra.rehearsal.cloud.daemon.admin import PREFIX

Application = Callable[[Environ, Any], Iterable[bytes]]
LOCAL = re.compile(r"(127\.0\.0\.1|localhost|[\w.-]+\.localhost)(:\d+)?")


@dataclass(frozen=True)
class AwsApi:
    """Until `ready` is set (endpoints are coming back after a start) calls wait rather than fail."""

    account: Account
    runtime: Runtime
    admin: Application
    ready: threading.Event

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        if "HTTP_ORIGIN" in environ or not LOCAL.fullmatch(environ.get("HTTP_HOST", "127.0.0.1")):
            # A web page trying its luck, by a request across sites or a name whose DNS points here.
            start_response("403 Forbidden", [("Content-Length", "0")])
            return [b""]
        path = environ["PATH_INFO"]
        if path.startswith(PREFIX):
            return self.admin(environ, start_response)
        self.ready.wait()
        if match := INVOCATION.fullmatch(path):
            answer = self.runtime.invoke(match["endpoint"], environ, stream=bool(match["stream"]))
            return answer.send(start_response)
        return self.account.answer(identify(environ)).send(start_response)


@dataclass(frozen=True)
class CountedRegistry:
    """The registry's application, its calls counted with the others."""

    registry: Application
    counts: Counts
    ready: threading.Event

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        self.ready.wait()
        self.counts.add(f"registry:{method}", method not in ("GET", "HEAD", "OPTIONS"))
        return self.registry(environ, start_response)
