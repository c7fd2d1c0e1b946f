"""Secrets of the server's environment: the container is told where they are, and looks them up when it starts.

    ECOMDEPLOY_SECRET_<NAME>=ssm:/path            the parameter's value becomes the variable <NAME>
    ECOMDEPLOY_SECRET_<NAME>=secretsmanager:<id>  the secret's text does
    ECOMDEPLOY_SECRETS_FD=7                       whoever started it looked them up: JSON of names and values there

Whoever may read a SageMaker Model reads its environment; so only references stand in it. Values never stand in the
environment that the process began with, which is what `/proc/<pid>/environ` shows.

There is no boto3 in the container. APIs: docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html,
docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html; signing: Signature Version 4,
docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html; credentials: the container's
(docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html), else the variables every SDK knows.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from urllib.error import HTTPError
    from urllib.request import Request

PREFIX = "ECOMDEPLOY_SECRET_"
HANDED = "ECOMDEPLOY_SECRETS_FD"
TARGETS = {"ssm": "AmazonSSM.GetParameter", "secretsmanager": "secretsmanager.GetSecretValue"}
RELATIVE, FULL = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"
CONTAINER_HOST = "http://169.254.170.2"
BEARER = "AWS_CONTAINER_AUTHORIZATION_TOKEN"
SECONDS, TRIES = 10, 3
JSON = "application/x-amz-json-1.1"

BUSY = re.compile("Throttl|TooManyRequests|RequestLimitExceeded")
"""Kinds of refusals that AWS answers with 400 and that pass."""

Open = Callable[["Request", float], Any]
Ask = Callable[["Request", str], dict[str, Any]]


class NoSecret(Exception):
    """A secret could not be looked up; `str()` names it and says why, never its value."""


@dataclass(frozen=True)
class Credentials:
    """As whom requests are signed."""

    key: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)


def references(environment: Mapping[str, str]) -> dict[str, str]:
    """What the environment refers to, by the variables that the values belong in."""
    return {
        name.removeprefix(PREFIX): value for name, value in environment.items() if name.startswith(PREFIX)
    }


def parse(name: str, reference: str) -> tuple[str, str]:
    """The service that holds a secret, and what it is called there. Raises NoSecret."""
    service, _, where = reference.partition(":")
    if service not in TARGETS or not where:
        raise NoSecret(f"{PREFIX}{name}={reference!r} is no reference")
    return service, where


def reveal(
    environment: Mapping[str, str], fetch: Open | None = None, pause: Callable[[float], None] = time.sleep
) -> dict[str, str]:
    """The secrets that the environment refers to, by the variables they belong in. Raises NoSecret."""
    wanted = references(environment)
    if handed := environment.get(HANDED):
        return read_handed(int(handed), wanted)
    if not wanted:
        return {}
    ask = Asker(fetch or open_url, pause).ask
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1"
    as_whom = credentials(environment, ask)
    return {name: look_up(name, reference, region, as_whom, ask) for name, reference in wanted.items()}


def read_handed(descriptor: int, wanted: Mapping[str, str]) -> dict[str, str]:
    """What whoever started this process looked up."""
    with os.fdopen(descriptor, "rb") as file:
        found: dict[str, str] = json.loads(file.read())
    if lacking := sorted(set(wanted) - set(found)):
        raise NoSecret(f"no value was handed over for {', '.join(lacking)}")
    return found


def credentials(environment: Mapping[str, str], ask: Ask) -> Credentials:
    """The execution role's. Raises NoSecret."""
    if key := environment.get("AWS_ACCESS_KEY_ID"):
        return Credentials(
            key, environment.get("AWS_SECRET_ACCESS_KEY", ""), environment.get("AWS_SESSION_TOKEN", "")
        )
    relative = environment.get(RELATIVE)
    place = f"{CONTAINER_HOST}{relative}" if relative else environment.get(FULL, "")
    if not place:
        raise NoSecret(
            f"there are no credentials to look secrets up with: neither {RELATIVE} nor {FULL} is set"
        )
    from urllib.request import Request

    headers = {"Authorization": environment[BEARER]} if BEARER in environment else {}
    found = ask(Request(place, headers=headers), "the credentials")  # noqa: S310 - the address that AWS gives the container
    return Credentials(found["AccessKeyId"], found["SecretAccessKey"], found.get("Token", ""))


def look_up(name: str, reference: str, region: str, as_whom: Credentials, ask: Ask) -> str:
    """One secret's value. Raises NoSecret."""
    service, where = parse(name, reference)
    asked = {"Name": where, "WithDecryption": True} if service == "ssm" else {"SecretId": where}
    request = sign(service, region, json.dumps(asked).encode(), as_whom, datetime.now(UTC))
    answer = ask(request, f"{name} ({reference})")
    value = answer.get("Parameter", {}).get("Value") if service == "ssm" else answer.get("SecretString")
    if not isinstance(value, str):
        raise NoSecret(f"{name} ({reference}) holds no text")
    return value


@dataclass(frozen=True)
class Asker:
    """Asks a service, and again where it is busy: `pause` is in seconds."""

    opened: Open
    pause: Callable[[float], None]

    def ask(self, request: Request, what: str) -> dict[str, Any]:
        """The JSON answer of a request. Raises NoSecret."""
        from urllib.error import HTTPError

        for tried in range(TRIES):
            try:
                with self.opened(request, SECONDS) as answer:
                    found: dict[str, Any] = json.loads(answer.read())
                    return found
            except HTTPError as error:
                kind, words = refusal(error)
                busy = error.code >= 500 or error.code == 429 or BUSY.search(kind)
                why = words or f"HTTP {error.code}"
            except (OSError, ValueError) as error:
                busy, why = True, f"{type(error).__name__}: {getattr(error, 'reason', error)}"
            if not busy or tried == TRIES - 1:
                raise NoSecret(f"{what}: {why}") from None
            # many containers start at once: they must not come again together
            self.pause(2**tried * random.uniform(0.5, 1))  # noqa: S311 - no secret
        raise AssertionError("the last try returns or raises")


def open_url(request: Request, seconds: float) -> Any:
    """The answer; of the container's own credentials never by a proxy, which plain http is asked for alone."""
    from urllib.request import ProxyHandler, build_opener

    own = request.type == "http"
    return build_opener(*([ProxyHandler({})] if own else [])).open(request, timeout=seconds)


def refusal(error: HTTPError) -> tuple[str, str]:
    """AWS's kind of a refusal, and its words; empty where it has none."""
    try:
        told = json.loads(error.read(10_000))
        kind = str(told.get("__type", "")).rpartition("#")[2]
        return kind, f"{kind} {told.get('message', told.get('Message', ''))}".strip()
    except (OSError, ValueError, AttributeError):
        return "", ""


def sign(service: str, region: str, body: bytes, as_whom: Credentials, now: datetime) -> Request:
    """A POST to the service, by Signature Version 4."""
    from urllib.request import Request

    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    url = f"https://{service}.{region}.{suffix}/"
    moment, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    headers = {
        "content-type": JSON,
        "host": urlsplit(url).netloc,
        "x-amz-date": moment,
        "x-amz-target": TARGETS[service],
        **({"x-amz-security-token": as_whom.token} if as_whom.token else {}),
    }
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{day}/{region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{as_whom.secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    said = f"AWS4-HMAC-SHA256 Credential={as_whom.key}/{scope}, SignedHeaders={names}, Signature={signature}"
    return Request(url, body, {**headers, "authorization": said})
