"""Which AWS operation a request is, its parameters and its answer: by botocore's models, through moto's parsers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http.client import responses
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

from infra.rehearsal.cloud.addresses import REGION

Environ = dict[str, Any]

SCOPE = re.compile(r"Credential=[^/]{1,200}/\d{8}/([^/]{0,100})/([^/]{1,100})/aws4_request")
CBOR_PATH = re.compile(r"/service/[^/]+/operation/(\w+)$")
READING = re.compile(
    r"(Get|List|Describe|Head|Batch(Get|Check|Describe)|Query|Scan|Search|Lookup|Select|Simulate|Estimate"
    r"|Decode|Check|Validate|Assume|Filter|Test|Encrypt|Decrypt|GenerateDataKey|Verify|Options)"
)
KEPT = "ecomdeploy.body"
MODELS = {
    "monitoring": "cloudwatch",
    "servicequotas": "service-quotas",
    "tagging": "resourcegroupstaggingapi",
}
"""Signing name -> botocore's name, where they differ."""


class ApiError(Exception):
    """An AWS error answer: code, message, HTTP status (None: what the service's model says, else 400)."""

    def __init__(self, code: str, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True)
class HttpResponse:
    """An HTTP answer, whole."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes

    @classmethod
    def with_json(cls, status: str, found: Mapping[str, Any]) -> HttpResponse:
        data = json.dumps(found).encode()
        return cls(status, [("Content-Type", "application/json"), ("Content-Length", str(len(data)))], data)

    @property
    def ok(self) -> bool:
        return self.status.startswith("2")

    def send(self, start_response: Any) -> Iterable[bytes]:
        start_response(self.status, self.headers)
        return [self.body]

    def with_body(self, body: bytes) -> HttpResponse:
        """The same answer around another body."""
        headers = [pair for pair in self.headers if pair[0].lower() not in ("content-length", "x-amz-crc32")]
        return HttpResponse(self.status, [*headers, ("Content-Length", str(len(body)))], body)


@dataclass
class ApiCall:
    """One request to an AWS API. `operation` is "" where nothing tells which one it is."""

    service: str
    region: str
    operation: str
    environ: Environ = field(repr=False)
    uri: dict[str, Any] = field(default_factory=dict)

    @property
    def mutates(self) -> bool:
        """Told by the operation's name, or by the HTTP method where there is none."""
        if self.operation:
            return not READING.match(self.operation)
        return self.environ["REQUEST_METHOD"] not in ("GET", "HEAD", "OPTIONS")

    @property
    def model(self) -> Any:
        """moto's reading of botocore's model of the service."""
        from moto.core.utils import get_service_model

        return get_service_model(MODELS.get(self.service, self.service))

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The request's parameters by their names in the API."""
        from moto.core.parse import PROTOCOL_PARSERS
        from moto.core.request import Request, determine_request_protocol

        body(self.environ)
        request = Request(self.environ)
        protocol = determine_request_protocol(self.model, request.content_type)
        parser = PROTOCOL_PARSERS[protocol](self.model.operation_model(self.operation), map_type=dict)
        parsed = parser.parse(
            {
                "method": request.method,
                "values": request.values,
                "headers": request.headers,
                "body": request.get_data(),
                "url_path": request.path,
                "url_params": self.uri,
            }
        )
        return dict(parsed)

    def answer(self, result: Mapping[str, Any] | ApiError) -> HttpResponse:
        """The result, or the error, as the service's protocol writes it."""
        from moto.core.request import determine_request_protocol
        from moto.core.serialize import get_serializer_class

        protocol = determine_request_protocol(self.model, self.environ.get("CONTENT_TYPE", ""))
        serializer = get_serializer_class(self.model.service_name, protocol)(
            self.model.operation_model(self.operation)
        )
        written = serializer.serialize(result)
        status = (result.status if isinstance(result, ApiError) else None) or written["status_code"]
        text = written["body"]
        data = text if isinstance(text, bytes) else text.encode()
        headers = {**written["headers"], "x-amzn-RequestId": str(uuid4()), "Content-Length": str(len(data))}
        return HttpResponse(line(status), [(name, str(value)) for name, value in headers.items()], data)


def identify(environ: Environ) -> ApiCall:
    """Read the operation from the target header, the form's Action, or the service's routes."""
    scope = SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    region, service = scope.groups() if scope else (REGION, "s3")
    if service == "sagemaker" and environ.get("PATH_INFO", "").startswith("/endpoints/"):
        service = "sagemaker-runtime"  # the two share a signing name
    call = ApiCall(service=service.lower(), region=region or REGION, operation="", environ=environ)
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        call.operation = target.rpartition(".")[2]
    elif cbor := CBOR_PATH.search(environ.get("PATH_INFO", "")):
        call.operation = cbor[1]
    elif environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        call.operation = parse_qs(body(environ).decode("utf-8", "replace")).get("Action", [""])[0]
    else:
        _match(call)
    return call


def _match(call: ApiCall) -> None:
    """For the REST protocols: method and path tell the operation."""
    from botocore.exceptions import UnknownServiceError
    from moto.core.request import Request
    from moto.core.routing import NotFound, get_service_router

    try:
        operation, uri = get_service_router(MODELS.get(call.service, call.service)).match(Request(raw(call)))
    except (NotFound, NotImplementedError, UnknownServiceError, KeyError, ValueError):
        return
    call.operation, call.uri = operation.name, dict(uri)


def raw(call: ApiCall) -> Environ:
    """EKS has ARNs with a / in its paths: only as they were sent do they end where they end."""
    if call.service != "eks":
        return call.environ
    return {**call.environ, "RAW_URI": call.environ.get("REQUEST_URI", "")}


def body(environ: Environ) -> bytes:
    """The request's body; whoever reads `wsgi.input` next finds it whole."""
    if KEPT not in environ:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        environ[KEPT] = environ["wsgi.input"].read(length) if length else b""
    data: bytes = environ[KEPT]
    environ["wsgi.input"] = BytesIO(data)
    return data


def rewind(environ: Environ) -> None:
    """Before the request is read again: a body that was read once is there again."""
    if KEPT in environ:
        environ["wsgi.input"] = BytesIO(environ[KEPT])


def line(status: int | str) -> str:
    """A status with its reason: "200 OK"."""
    number, _, reason = str(status).partition(" ")
    return f"{number} {reason or responses.get(int(number), 'Unknown')}"
