"""What InvokeEndpoint answers, whatever the model server did.

Source: API_runtime_InvokeEndpoint (documented); the texts of errors are recorded (SageMaker examples #293, #4324).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from infra.rehearsal.cloud.addresses import ACCOUNT
from infra.rehearsal.cloud.aws.calls import HttpResponse, line
from infra.rehearsal.cloud.aws.faults import spoil
from infra.rehearsal.cloud.aws.sagemaker_runtime.streaming import CONTENT_TYPE, StreamedResponse
from infra.rehearsal.cloud.servers.connections import ServerAnswer

CUSTOM = "X-Amzn-SageMaker-Custom-Attributes"


def pass_back(variant: str, headers: Mapping[str, str], data: bytes) -> HttpResponse:
    """A server's answer; `headers` by their names in lower case."""
    answered = [
        ("Content-Type", headers.get("content-type", "application/octet-stream")),
        ("x-Amzn-Invoked-Production-Variant", variant),
        ("x-amzn-RequestId", str(uuid4())),
        ("Content-Length", str(len(data))),
    ]
    if custom := headers.get(CUSTOM.lower()):
        answered.append((CUSTOM, custom))
    return HttpResponse("200 OK", answered, data)


def pass_on(variant: str, wrong: bool, found: ServerAnswer, free: Callable[[], None]) -> StreamedResponse:
    """A server's answer part by part, spoiled where it is to be `wrong`; when it ends, however it ends, its connection
    is closed and `free` called."""
    headers = [
        ("Content-Type", CONTENT_TYPE),
        ("X-Amzn-SageMaker-Content-Type", found.headers.get("content-type", "application/octet-stream")),
        ("x-Amzn-Invoked-Production-Variant", variant),
        ("x-amzn-RequestId", str(uuid4())),
    ]
    if custom := found.headers.get(CUSTOM.lower()):
        headers.append((CUSTOM, custom))
    parts = (spoil(part) if wrong else part for part in found.parts())

    def end() -> None:
        found.close()
        free()

    return StreamedResponse("200 OK", headers, parts, end)


def refuse_unknown(endpoint: str, variant: str) -> HttpResponse:
    """There is no such endpoint, or where a variant is named no such variant of it."""
    text = f"Variant {variant} not found for endpoint {endpoint} of account {ACCOUNT}."
    if not variant:
        text = f"Endpoint {endpoint} of account {ACCOUNT} not found."
    return refuse(400, "ValidationError", {"Message": text})


def tell_model_error(region: str, endpoint: str, status: int, data: bytes) -> HttpResponse:
    """The model server refused, or broke."""
    whose = "server" if status >= 500 else "client"
    original = data[:8192].decode("utf-8", "replace")
    text = (
        f'Received {whose} error ({status}) from primary with message "{original}". See the model server\'s log:'
        " ecomdeploy logs"
    )
    fields = {
        "ErrorCode": f"{whose.upper()}_ERROR_FROM_MODEL",
        "LogStreamArn": f"arn:aws:logs:{region}:{ACCOUNT}:log-group:/aws/sagemaker/Endpoints/{endpoint}",
        "Message": text,
        "OriginalMessage": original,
        "OriginalStatusCode": status,
    }
    return refuse(424, "ModelError", fields)


def refuse(status: int, code: str, fields: Mapping[str, Any]) -> HttpResponse:
    """An error with a code of the API's."""
    data = json.dumps(fields).encode()
    headers = [
        ("Content-Type", "application/json"),
        ("x-amzn-ErrorType", code),
        ("x-amzn-RequestId", str(uuid4())),
        ("Content-Length", str(len(data))),
    ]
    return HttpResponse(line(status), headers, data)
