"""One request through the route: InvokeEndpoint, as any client would send it, and its answer in parts.

Sources: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html and
API_runtime_InvokeEndpointWithResponseStream.html there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from infra.aws_session import error_code, refusals
from infra.targets.base import Answer, Clock
from modelpack.errors import EcomdeployError


def invoke(
    runtime: Any, endpoint: str, body: bytes, content_type: str, clock: Clock, variant: str = ""
) -> Answer:
    """The answer; an error of the model itself is an answer with the model's status and text.

    `variant`: the production variant that must answer (TargetVariant), "" for whichever the weights choose.

    Raises:
        EcomdeployError: no such endpoint, or it takes no requests. CloudRefused: credentials.
    """
    from botocore.exceptions import ClientError

    began, target = clock.now(), {"TargetVariant": variant} if variant else {}
    with refusals(f"invoking endpoint {endpoint}"):
        try:
            answer = runtime.invoke_endpoint(
                EndpointName=endpoint, Body=body, ContentType=content_type, **target
            )
        except ClientError as error:
            if error_code(error) != "ModelError":
                raise
            said = error.response
            status = int(said.get("OriginalStatusCode") or 500)
            text = str(said.get("OriginalMessage") or said["Error"].get("Message", ""))
            return Answer(
                status=status, body=text.encode(), content_digest="", latency_ms=1000 * (clock.now() - began)
            )
        data = answer["Body"].read()
    return Answer(
        status=int(answer["ResponseMetadata"]["HTTPStatusCode"]),
        body=data,
        content_digest=str(answer.get("CustomAttributes") or ""),
        latency_ms=1000 * (clock.now() - began),
    )


def stream(runtime: Any, endpoint: str, body: bytes, content_type: str) -> Iterator[bytes]:
    """The answer's parts as they come.

    Raises:
        EcomdeployError: the model refuses the request, the stream breaks, no such endpoint. CloudRefused: credentials.
    """
    from botocore.exceptions import ClientError, EventStreamError

    with refusals(f"invoking endpoint {endpoint}"):
        try:
            answer = runtime.invoke_endpoint_with_response_stream(
                EndpointName=endpoint, Body=body, ContentType=content_type
            )
            for event in answer["Body"]:
                yield event["PayloadPart"]["Bytes"]
        except EventStreamError as error:
            raise EcomdeployError(f"the answer broke off: {error.response['Error']['Message']}") from error
        except ClientError as error:
            if error_code(error) != "ModelError":
                raise
            said = error.response
            text = str(said.get("OriginalMessage") or said["Error"].get("Message", ""))
            raise EcomdeployError(
                f"the endpoint answered {said.get('OriginalStatusCode')}: {text[:300]}"
            ) from error
