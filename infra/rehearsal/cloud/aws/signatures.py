"""Who calls the emulated account: AWS Signature Version 4, checked as AWS checks it, by botocore's own signer.

The owner's secret key is the home's; keys that the account itself gave out (CreateAccessKey, AssumeRole) count as well.
Signed URLs are taken, Signature Version 2 is not; of a streamed body only what leads it is checked.
Source: docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from calendar import timegm
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import strptime, time
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from infra.rehearsal.cloud.addresses import ACCESS_KEY
from infra.rehearsal.cloud.aws.calls import ApiError, Environ, HttpResponse, body, line

HEADER = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=(?P<credential>[^, ]+), *SignedHeaders=(?P<headers>[^, ]+),"
    r" *Signature=(?P<signature>[0-9a-f]{64})"
)
SCOPE = re.compile(r"(?P<key>[^/]+)/(?P<day>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")
TIME = re.compile(r"\d{8}T\d{6}Z")
HASH = re.compile(r"[0-9a-f]{64}")
SKEW_SECONDS = 900
LONGEST_SECONDS = 7 * 24 * 3600
"""How long a signed URL may be good."""
KEYS = "the local cloud takes the keys that `ecomdeploy cloud env` prints"


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A request's claim: who signed which of its headers, when, and with what result."""

    key: str
    day: str
    region: str
    service: str
    headers: tuple[str, ...]
    time: str
    signature: str
    payload: str
    """What stands for the body in the signature; "" is the hash of the body itself."""


@dataclass(frozen=True)
class Signatures:
    """`secret`: the owner's secret key. `given`: the secret key behind one that the account gave out, or None."""

    secret: str = field(repr=False)
    given: Callable[[str], str | None]

    def check(self, environ: Environ) -> None:
        """Raises ApiError (403) unless the request is signed with a key of this account."""
        signed = _read(environ)
        secret = self.secret if signed.key == ACCESS_KEY else self.given(signed.key)
        if secret is None:
            raise ApiError("UnrecognizedClientException", f"The access key is not known: {KEYS}.", 403)
        if not hmac.compare_digest(_signature(environ, signed, secret), signed.signature):
            raise ApiError("SignatureDoesNotMatch", f"The signature does not match: {KEYS}.", 403)
        if HASH.fullmatch(signed.payload) and hashlib.sha256(body(environ)).hexdigest() != signed.payload:
            raise ApiError("XAmzContentSHA256Mismatch", "The body is not the one that was signed.", 403)


def find_given(key: str) -> str | None:
    """The secret key of an access key that moto's IAM or STS gave out. Only when moto is loaded."""
    from moto.iam.models import iam_backends

    for partitions in tuple(iam_backends.values()):
        for backend in tuple(partitions.values()):
            if found := backend.access_keys.get(key):
                return str(found.secret_access_key)
    return None


def _read(environ: Environ) -> Signed:
    query = {name: values[-1] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
    if "X-Amz-Signature" in query:
        return _read_query(query)
    header = HEADER.fullmatch(environ.get("HTTP_AUTHORIZATION", ""))
    if header is None:
        raise ApiError("MissingAuthenticationToken", f"The request is not signed: {KEYS}.", 403)
    when = environ.get("HTTP_X_AMZ_DATE", "")
    _check_time(when, SKEW_SECONDS, SKEW_SECONDS)
    return Signed(
        **_scope(header["credential"], when),
        headers=tuple(header["headers"].split(";")),
        time=when,
        signature=header["signature"],
        payload=environ.get("HTTP_X_AMZ_CONTENT_SHA256", ""),
    )


def _read_query(query: Mapping[str, str]) -> Signed:
    when, seconds = query.get("X-Amz-Date", ""), query.get("X-Amz-Expires", "")
    if not seconds.isascii() or not seconds.isdigit() or len(seconds) > 6 or int(seconds) > LONGEST_SECONDS:
        raise ApiError("AuthorizationQueryParametersError", "X-Amz-Expires must be at most a week.", 403)
    _check_time(when, int(seconds), SKEW_SECONDS)
    scope = _scope(query.get("X-Amz-Credential", ""), when)
    return Signed(
        **scope,
        headers=tuple(query.get("X-Amz-SignedHeaders", "host").split(";")),
        time=when,
        signature=query["X-Amz-Signature"],
        payload="UNSIGNED-PAYLOAD" if scope["service"].startswith("s3") else "",
    )


def _scope(credential: str, when: str) -> dict[str, str]:
    scope = SCOPE.fullmatch(credential)
    if scope is None or not when.startswith(scope["day"]):
        raise ApiError("IncompleteSignature", "Credential must name key, day, region and service.", 403)
    return scope.groupdict()


def _check_time(when: str, past: float, ahead: float) -> None:
    try:
        age = time() - timegm(strptime(when if TIME.fullmatch(when) else "", "%Y%m%dT%H%M%SZ"))
    except ValueError:
        raise ApiError(
            "IncompleteSignature", "X-Amz-Date must be a time like 20260101T000000Z.", 403
        ) from None
    if age > past or age < -ahead:
        raise ApiError("RequestTimeTooSkewed", "The request was signed too long ago, or for later.", 403)


def _signature(environ: Environ, signed: Signed, secret: str) -> str:
    from botocore.auth import S3SigV4Auth, SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.compat import HTTPHeaders
    from botocore.credentials import Credentials

    kind = S3SigV4Auth if signed.service.startswith("s3") else SigV4Auth
    signer = kind(Credentials(signed.key, secret), signed.service, signed.region)
    path, _, query = _target(environ).partition("?")
    kept = "&".join(part for part in query.split("&") if not part.startswith("X-Amz-Signature="))
    host = environ.get("HTTP_HOST", "")
    request = AWSRequest(environ["REQUEST_METHOD"], f"http://{host}{path}{'?' if kept else ''}{kept}")
    headers = HTTPHeaders()
    for name in signed.headers:
        headers[name] = _header(environ, name)
    # botocore would leave out headers that other signers do sign
    signer.headers_to_sign = lambda _: headers
    request.context["timestamp"] = signed.time
    request.headers["X-Amz-Content-SHA256"] = signed.payload or hashlib.sha256(body(environ)).hexdigest()
    canonical = signer.canonical_request(request)
    return str(signer.signature(signer.string_to_sign(request, canonical), request))


def _target(environ: Environ) -> str:
    """Path and query as the client wrote them."""
    asked: str = environ.get("REQUEST_URI", "/")
    return asked if asked.startswith("/") else "/" + asked.partition("://")[2].partition("/")[2]


def _header(environ: Environ, name: str) -> str:
    key = name.upper().replace("-", "_")
    found: str = environ.get(key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}", "")
    return found.encode("latin-1", "replace").decode("utf-8", "replace")


def refuse(environ: Environ, error: ApiError) -> HttpResponse:
    """The refusal in a form that the service's clients read; no model is asked, for the caller is nobody."""
    scope = re.search(r"/([^/]+)/aws4_request", environ.get("HTTP_AUTHORIZATION", ""))
    service = scope[1] if scope else "s3"
    kind = environ.get("CONTENT_TYPE", "")
    fault = f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
    headers: list[tuple[str, str]] = [("Content-Type", "text/xml")]
    if service.startswith("s3"):
        text = f"<Error>{fault}</Error>"
    elif service == "ec2":
        text = f"<Response><Errors><Error>{fault}</Error></Errors></Response>"
    elif kind.startswith("application/x-www-form-urlencoded"):
        text = f"<ErrorResponse><Error>{fault}</Error></ErrorResponse>"
    else:
        text = json.dumps({"__type": error.code, "message": error.message})
        headers = [("Content-Type", "application/json"), ("x-amzn-ErrorType", error.code)]
    data = text.encode()
    return HttpResponse(line(error.status or 403), [*headers, ("Content-Length", str(len(data)))], data)
