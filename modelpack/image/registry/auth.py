"""How a registry is told who asks: Basic, or a Bearer token fetched where the challenge says.

Challenge: RFC 9110 section 11.6.1; token endpoint: distribution.github.io/distribution/spec/auth/token.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Generator
from contextlib import AbstractContextManager
from urllib.parse import urlsplit

import httpx

from modelpack.errors import CloudRefused, EcomdeployError
from modelpack.image.download import read_small
from modelpack.image.oci.descriptor import decode

PARAMETER = re.compile(r'\b(\w++)="([^"]*)"')
REFRESH_TOKEN = "<token>"  # noqa: S105 - a word of docker's, no password
"""The user that stands for one, by docker's convention for credential helpers."""
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class RegistryAuth(httpx.Auth):
    """Answers a challenge once and keeps the answer for the requests that follow. Safe to share between threads:
    the worst that a race does is fetch a token twice."""

    requires_response_body = False

    def __init__(self, credentials: tuple[str, str] | None) -> None:
        self.credentials = credentials
        self.header = ""

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if self.header:
            request.headers["Authorization"] = self.header
        response = yield request
        if response.status_code != 401:
            return
        answer = self._answer(response)
        # a streamed body is spent by now: the caller's retry sends it again, with the header learnt here
        if answer and isinstance(request.stream, httpx.ByteStream):
            request.headers["Authorization"] = answer
            yield request

    def _answer(self, response: httpx.Response) -> str:
        challenge = response.headers.get("www-authenticate", "")
        scheme = challenge.partition(" ")[0].lower()
        if scheme == "basic":
            self.header = self._basic(str(response.request.url)) if self.credentials else ""
        elif scheme == "bearer":
            self.header = f"Bearer {self._token(dict(PARAMETER.findall(challenge)))}"
        return self.header

    def _basic(self, url: str) -> str:
        _refuse_plain(url)
        assert self.credentials is not None, "asked only with credentials"
        return "Basic " + base64.b64encode(":".join(self.credentials).encode()).decode()

    def _token(self, challenge: dict[str, str]) -> str:
        realm = challenge.get("realm", "")
        if self.credentials:
            _refuse_plain(realm)
        query: dict[str, str] = {
            key: value for key, value in challenge.items() if key in ("service", "scope")
        }
        try:
            with self._ask(realm, query) as answer:
                answer.raise_for_status()
                data = decode(read_small(answer))
            return str(data.get("token") or data["access_token"])
        except (httpx.HTTPError, httpx.InvalidURL, EcomdeployError, KeyError) as problem:
            hint = "check the registry's user and password"
            raise CloudRefused(f"no token from {realm}: {problem}", hint=hint) from problem

    def _ask(self, realm: str, query: dict[str, str]) -> AbstractContextManager[httpx.Response]:
        """With a refresh token by POST (distribution.github.io/distribution/spec/auth/oauth), else with who we are."""
        if self.credentials and self.credentials[0] == REFRESH_TOKEN:
            grant = {"grant_type": "refresh_token", "client_id": "ecomdeploy"}
            form = {**grant, **query, "refresh_token": self.credentials[1]}
            return httpx.stream("POST", realm, data=form, timeout=30.0)
        return httpx.stream("GET", realm, params=query, auth=self.credentials, timeout=30.0)


def _refuse_plain(url: str) -> None:
    """Never a password over plain HTTP, but for this machine."""
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise CloudRefused(
            f"{url} asks for a password over plain HTTP", hint="use the registry's https address"
        )
