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
from dataclasses import dataclass, field, replace
from time import gmtime, strftime, strptime, time
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
FORM = "%Y%m%dT%H%M%SZ"
QUERY = "application/x-www-form-urlencoded"
SKEW_MINUTES = {"s3": 15, "ec2": 15}
USUAL_SKEW_MINUTES = 5
"""How far a caller's clock may be from the account's, by service
(docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html, for S3
docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, for EC2
docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html)."""
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
    good: int | None
    """Seconds that a signed URL is good for."""


@dataclass(frozen=True)
class Signatures:
    """`secret`: the owner's secret key. `given`: the secret key behind one that the account gave out, or None. `clock`:
    the account's, in seconds since the epoch."""

    secret: str = field(repr=False)
    given: Callable[[str], str | None]
    clock: Callable[[], float] = time

    def check(self, environ: Environ) -> None:
        """Raises ApiError (403) unless the request is signed with a key of this account, by a clock like its own."""
        self._check(_read(environ), environ)

    def signer(self, environ: Environ, seconds: int) -> str:
        """The access key that signed a URL, good for so long whatever it says itself. Raises ApiError (403)."""
        signed = replace(_read(environ), good=seconds)
        self._check(signed, environ)
        return signed.key

    def _check(self, signed: Signed, environ: Environ) -> None:
        _check_time(signed, environ, self.clock())
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
    return Signed(
        **_scope(header["credential"], when),
        headers=tuple(header["headers"].split(";")),
        time=when,
        good=None,
        signature=header["signature"],
        payload=environ.get("HTTP_X_AMZ_CONTENT_SHA256", ""),
    )


def _read_query(query: Mapping[str, str]) -> Signed:
    when, seconds = query.get("X-Amz-Date", ""), query.get("X-Amz-Expires", "")
    if not seconds.isascii() or not seconds.isdigit() or len(seconds) > 6 or int(seconds) > LONGEST_SECONDS:
        raise ApiError("AuthorizationQueryParametersError", "X-Amz-Expires must be at most a week.", 403)
    scope = _scope(query.get("X-Amz-Credential", ""), when)
    return Signed(
        **scope,
        headers=tuple(query.get("X-Amz-SignedHeaders", "host").split(";")),
        time=when,
        good=int(seconds),
        signature=query["X-Amz-Signature"],
        payload="UNSIGNED-PAYLOAD" if scope["service"].startswith("s3") else "",
    )


def _scope(credential: str, when: str) -> dict[str, str]:
    scope = SCOPE.fullmatch(credential)
    if scope is None or not when.startswith(scope["day"]):
        raise ApiError("IncompleteSignature", "Credential must name key, day, region and service.", 403)
    return scope.groupdict()


def _check_time(signed: Signed, environ: Environ, now: float) -> None:
    try:
        at = timegm(strptime(signed.time if TIME.fullmatch(signed.time) else "", FORM))
    except ValueError:
        raise ApiError(
            "IncompleteSignature", "X-Amz-Date must be a time like 20260101T000000Z.", 403
        ) from None
    minutes = SKEW_MINUTES.get(signed.service, USUAL_SKEW_MINUTES)
    past = 60 * minutes if signed.good is None else signed.good
    if not -60 * minutes <= now - at <= past:
        raise _tell_skew(signed, environ, now, "expired" if at < now else "not yet current", minutes)


def _tell_skew(signed: Signed, environ: Environ, now: float, how: str, minutes: int) -> ApiError:
    """In the service's own words: what each protocol has for it (the sources of `USUAL_SKEW_MINUTES`)."""
    if signed.service == "ec2":
        return ApiError("RequestExpired", "Request has expired.", 403)
    if signed.service == "s3" and signed.good is not None:
        return ApiError("AccessDenied", "Request has expired", 403)
    if signed.service == "s3":
        words = "The difference between the request time and the current time is too large."
        return ApiError("RequestTimeTooSkewed", words, 403)
    form = str(environ.get("CONTENT_TYPE", "")).startswith(QUERY)
    code = "SignatureDoesNotMatch" if form or signed.good is not None else "InvalidSignatureException"
    late = how == "expired"
    bound = strftime(FORM, gmtime(now + (-60 if late else 60) * minutes))
    than = f"{signed.time} is {'now earlier' if late else 'still later'} than {bound}"
    here = f"({strftime(FORM, gmtime(now))} {'-' if late else '+'} {minutes} min.)"
    return ApiError(code, f"Signature {how}: {than} {here}", 403)


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
    elif kind.startswith(QUERY):
        text = f"<ErrorResponse><Error>{fault}</Error></ErrorResponse>"
    else:
        text = json.dumps({"__type": error.code, "message": error.message})
        headers = [("Content-Type", "application/json"), ("x-amzn-ErrorType", error.code)]
    data = text.encode()
    return HttpResponse(line(error.status or 403), [*headers, ("Content-Length", str(len(data)))], data)
