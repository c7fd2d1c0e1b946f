"""One request through the route: InvokeEndpoint, as any client would send it.

Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
"""

from __future__ import annotations

from typing import Any

from infra.aws_session import error_code, refusals
from infra.targets.base import Answer, Clock


def invoke(runtime: Any, endpoint: str, body: bytes, content_type: str, clock: Clock) -> Answer:
    """The answer; an error of the model itself is an answer with the model's status and text.

    Raises:
        EcomdeployError: no such endpoint, or it takes no requests. CloudRefused: credentials.
    """
    from botocore.exceptions import ClientError

    began = clock.now()
    with refusals(f"invoking endpoint {endpoint}"):
        try:
            answer = runtime.invoke_endpoint(EndpointName=endpoint, Body=body, ContentType=content_type)
        except ClientError as error:
            if error_code(error) != "ModelError":
                raise
            said = error.response
            status = int(said.get("OriginalStatusCode") or 500)
            text = str(said.get("OriginalMessage") or said["Error"].get("Message", ""))
            return Answer(
                status=status, body=text.encode(), content_id="", latency_ms=1000 * (clock.now() - began)
            )
        data = answer["Body"].read()
    return Answer(
        status=int(answer["ResponseMetadata"]["HTTPStatusCode"]),
        body=data,
        content_id=str(answer.get("CustomAttributes") or ""),
        latency_ms=1000 * (clock.now() - began),
    )
