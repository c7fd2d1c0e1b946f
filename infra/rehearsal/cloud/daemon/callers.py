"""Who may call at all: a program of this machine, never a web page, and with a secret only the home's owner."""

from __future__ import annotations

import base64
import binascii
import hmac
import re

from infra.rehearsal.cloud.aws.calls import Environ, HttpResponse

LOCAL = re.compile(r"(127\.0\.0\.1|localhost|[\w.-]+\.localhost)(:\d+)?", re.ASCII)
NOT_FOR_PAGES = HttpResponse("403 Forbidden", [("Content-Length", "0")], b"")


def from_a_page(environ: Environ) -> bool:
    """Whether a web page tries its luck, by a request across sites or a name whose DNS points here."""
    return "HTTP_ORIGIN" in environ or not LOCAL.fullmatch(environ.get("HTTP_HOST", "127.0.0.1"))


def bears(environ: Environ, secret: str) -> bool:
    """Whether the request carries the secret, as a bearer token or as the password of a Basic login."""
    scheme, _, word = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            word = base64.b64decode(word.strip(), validate=True).decode("latin-1").partition(":")[2]
        except (binascii.Error, ValueError):
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(word.strip().encode(), secret.encode())
