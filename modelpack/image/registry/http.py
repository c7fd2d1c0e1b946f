"""Requests to a registry: retried where that helps, refused in words where it does not.

Error codes: github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes.
"""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import httpx

from modelpack.errors import CloudRefused, EcomdeployError
from modelpack.image.download import read_small
from modelpack.image.registry.auth import RegistryAuth

T = TypeVar("T")
TRIES = 6
FIRST_WAIT_SECONDS = 0.4
LONGEST_WAIT_SECONDS = 20.0
CODING = frozenset({"content-encoding", "content-length", "transfer-encoding"})
"""Headers that say how a body was sent, and nothing of what it is."""
UNMADE = (
    "a registry that makes no repository by itself wants it first: docs/cluster.md, before the first push"
)
"""Of an upload to a repository that is not there."""
REFUSED = {401: "it does not know us", 403: "we may not do this"}


class Again(Exception):
    """Worth another try. `wait` in seconds where the registry named a time."""

    def __init__(self, problem: object, wait: float | None = None) -> None:
        super().__init__(str(problem) or type(problem).__name__)
        self.wait = wait


class TlsWhenUsed(ssl.SSLContext):
    """httpx's own context, made when a connection is first encrypted: reading all authorities takes longer than a push
    to a registry of this machine."""

    @cached_property
    def used(self) -> ssl.SSLContext:
        """As httpx makes it: certifi's authorities, or those of SSL_CERT_FILE and SSL_CERT_DIR."""
        return httpx.create_ssl_context()

    def set_alpn_protocols(self, *given: Any, **named: Any) -> None:
        self.used.set_alpn_protocols(*given, **named)

    def wrap_socket(self, *given: Any, **named: Any) -> ssl.SSLSocket:
        return self.used.wrap_socket(*given, **named)

    def wrap_bio(self, *given: Any, **named: Any) -> ssl.SSLObject:
        return self.used.wrap_bio(*given, **named)


class Connection:
    """One registry over HTTP. `sleep` is time.sleep but in tests; `context`: for https, httpx's own by default."""

    def __init__(
        self,
        url: str,
        credentials: tuple[str, str] | None,
        sleep: Callable[[float], None] = time.sleep,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.sleep = sleep
        self.http = httpx.Client(
            base_url=self.url,
            auth=RegistryAuth(credentials),
            verify=context or TlsWhenUsed(ssl.PROTOCOL_TLS_CLIENT),
            follow_redirects=True,
            timeout=httpx.Timeout(60.0, connect=10.0),
        )

    def send(self, method: str, path: str, ok: tuple[int, ...], **more: Any) -> httpx.Response:
        """One request, tried again after a broken connection, 429 and 5xx.

        `ok` are the status codes that count as answers. Raises CloudRefused or EcomdeployError for all others.
        """
        return self.retry(lambda: self.once(method, path, ok, **more))

    def once(self, method: str, path: str, ok: tuple[int, ...], **more: Any) -> httpx.Response:
        """One request, once, its answer read if it is small. Raises Again, CloudRefused or EcomdeployError."""
        try:
            with self.http.stream(method, path, **more) as streamed:
                answer = httpx.Response(
                    streamed.status_code,
                    headers=[pair for pair in streamed.headers.multi_items() if pair[0] not in CODING],
                    content=read_small(streamed),
                    request=streamed.request,
                )
        except httpx.TransportError as problem:
            raise Again(f"{type(problem).__name__} {problem}".strip()) from problem
        return self.judge(answer, ok)

    def judge(self, answer: httpx.Response, ok: tuple[int, ...]) -> httpx.Response:
        """The answer, if its status is in `ok`. Raises Again, CloudRefused or EcomdeployError."""
        code = answer.status_code
        if code in ok:
            return answer
        said = f"{answer.request.method} {answer.request.url.path} -> {code} {reason(answer)}".rstrip()
        if code == 429 or code >= 500:
            raise Again(said, _seconds(answer.headers.get("retry-after")))
        if code in REFUSED:
            hint = "check the registry's user and password, and the account's permissions"
            raise CloudRefused(f"the registry refused, {REFUSED[code]}: {said}", where=self.url, hint=hint)
        hint = UNMADE if code == 404 and answer.request.method == "POST" else ""
        raise EcomdeployError(f"the registry did not accept: {said}", where=self.url, hint=hint)

    def retry(self, work: Callable[[], T]) -> T:
        """`work` until it does not raise Again, with growing, jittered waits."""
        for attempt in range(1, TRIES + 1):
            try:
                return work()
            except Again as problem:
                if attempt == TRIES:
                    hint = "check that the registry is up and reachable, then run the same command again"
                    raise EcomdeployError(
                        f"no luck in {TRIES} tries: {problem}", where=self.url, hint=hint
                    ) from problem
                wait = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2**attempt)
                # several uploads that broke together must not come back together
                self.sleep(problem.wait if problem.wait is not None else wait * random.uniform(0.5, 1.0))  # noqa: S311 - waiting times, no secret
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        self.http.close()


def reason(answer: httpx.Response) -> str:
    """What the registry said, from its JSON errors where it sent some."""
    try:
        errors = answer.json()["errors"]
        return "; ".join(f"{error.get('code', '')} {error.get('message', '')}".strip() for error in errors)
    except (ValueError, KeyError, TypeError, AttributeError, httpx.ResponseNotRead):
        return ""


def _seconds(text: str | None) -> float | None:
    try:
        return min(LONGEST_WAIT_SECONDS, max(0.0, float(text))) if text else None
    except ValueError:
        return None
