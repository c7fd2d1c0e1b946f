"""Files over HTTP into a folder: streamed, retried, hashed on the way, renamed when right."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from modelpack.errors import EcomdeployError
from modelpack.home import name_file

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
TRIES = 4
BLOCK = 1 << 18
TIMEOUT_SECONDS = 60.0
MOST_SMALL = 64_000_000
"""Bytes of an answer that is read into memory."""


class Gone(EcomdeployError):
    """The server answered that it has no such file."""


class WrongBytes(EcomdeployError):
    """The server sent other bytes than those asked for."""


def client() -> httpx.Client:
    """An HTTP client that follows redirects and honours the proxy variables."""
    import httpx

    return httpx.Client(follow_redirects=True, timeout=TIMEOUT_SECONDS)


def get(http: httpx.Client, url: str) -> bytes:
    """A small file. Raises Gone for 404 and 410, EcomdeployError when it is not small or the server cannot be
    reached."""

    def once() -> bytes:
        with http.stream("GET", url) as answer:
            return read_small(_check(answer, url))

    return _try_again(once, url)


def read_small(answer: httpx.Response) -> bytes:
    """The body of an answer that is being streamed. Raises EcomdeployError for one of more than MOST_SMALL bytes."""
    found = bytearray()
    for piece in answer.iter_bytes():
        found += piece
        if len(found) > MOST_SMALL:
            raise EcomdeployError(f"{answer.request.url} answers with more than {MOST_SMALL:,} bytes")
    return bytes(found)


def save(
    http: httpx.Client, url: str, target: Path, sha256: str, size: int, advance: Callable[[float], None]
) -> None:
    """Download `size` bytes to `target`, which appears only if they hash to `sha256` (hex).

    Raises Gone, WrongBytes, or EcomdeployError when the server cannot be reached.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        _try_again(lambda: _save(http, url, partial, sha256, size, advance), url)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _save(
    http: httpx.Client, url: str, path: Path, sha256: str, size: int, advance: Callable[[float], None]
) -> None:
    total, done = hashlib.sha256(), 0
    with http.stream("GET", url) as answer, name_file(path), path.open("wb") as file:
        _check(answer, url)
        for piece in answer.iter_bytes(BLOCK):
            total.update(piece)
            file.write(piece)
            advance(len(piece))
            done += len(piece)
            if done > size:
                raise WrongBytes(f"{url} has more than {size:,} bytes")
    if total.hexdigest() != sha256:
        raise WrongBytes(f"{url} has sha256 {total.hexdigest()}, not {sha256}")


def _check(answer: httpx.Response, url: str) -> httpx.Response:
    if answer.status_code in (404, 410):
        raise Gone(f"{url} is not there ({answer.status_code})")
    if answer.status_code >= 400:
        answer.raise_for_status()
    return answer


def _try_again(work: Callable[[], T], url: str) -> T:
    import httpx

    for attempt in range(1, TRIES + 1):
        try:
            return work()
        except (httpx.TransportError, httpx.HTTPStatusError) as problem:
            final = isinstance(problem, httpx.HTTPStatusError) and problem.response.status_code < 500
            if final or attempt == TRIES:
                hint = "check the network, or choose another mirror"
                raise EcomdeployError(f"cannot fetch {url}: {problem}", hint=hint) from problem
            time.sleep(0.25 * 2**attempt)
    raise AssertionError("the last try returns or raises")


def sha256_of(path: Path) -> str:
    """The file's sha256 in hex, "" when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
