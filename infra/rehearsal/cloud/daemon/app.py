"""The WSGI applications of the two ports. Nobody is answered but the home's owner, and no web page at all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from infra.rehearsal.cloud.aws.account import Account, Counts
from infra.rehearsal.cloud.aws.calls import ApiError, Environ, identify
from infra.rehearsal.cloud.aws.sagemaker_runtime.invocations import INVOCATION, Invocations
from infra.rehearsal.cloud.aws.signatures import Signatures, refuse
from infra.rehearsal.cloud.daemon.admin import PREFIX
from infra.rehearsal.cloud.daemon.callers import NOT_FOR_PAGES, bears, from_a_page
from infra.rehearsal.cloud.daemon.tokens import TOKENS
from infra.rehearsal.cloud.registry.answers import RegistryError

Application = Callable[[Environ, Any], Iterable[bytes]]


@dataclass(frozen=True)
class AwsApi:
    """The daemon's own API, model invocations, everything else to the account. Until `ready` is set (endpoints are
    coming back after a start) calls wait rather than fail."""

    account: Account
    invocations: Invocations
    admin: Application
    ready: threading.Event
    signatures: Signatures
    tokens: Application

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        if from_a_page(environ):
            return NOT_FOR_PAGES.send(start_response)
        path = environ["PATH_INFO"]
        if path.startswith(TOKENS):
            self.ready.wait()
            return self.tokens(environ, start_response)
        if path.startswith(PREFIX):
            return self.admin(environ, start_response)
        try:
            self.signatures.check(environ)
        except ApiError as error:
            return refuse(environ, error).send(start_response)
        self.ready.wait()
        if match := INVOCATION.fullmatch(path):
            answer = self.invocations.invoke(match["endpoint"], environ, stream=bool(match["stream"]))
            return answer.send(start_response)
        return self.account.answer(identify(environ)).send(start_response)


@dataclass(frozen=True)
class OwnRegistry:
    """The registry's application for those who know its password, its calls counted with the others."""

    registry: Application
    counts: Counts
    ready: threading.Event
    secret: str = field(repr=False)

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        if from_a_page(environ):
            return NOT_FOR_PAGES.send(start_response)
        if not bears(environ, self.secret):
            headers = {"WWW-Authenticate": 'Basic realm="the local cloud: ecomdeploy cloud env"'}
            refused = RegistryError(
                401, "UNAUTHORIZED", "log in with what `ecomdeploy cloud env` prints", headers
            )
            pieces: Iterable[bytes] = refused.answer()(environ, start_response)
            return pieces
        method = environ["REQUEST_METHOD"]
        self.ready.wait()
        self.counts.add(f"registry:{method}", method not in ("GET", "HEAD", "OPTIONS"))
        return self.registry(environ, start_response)
