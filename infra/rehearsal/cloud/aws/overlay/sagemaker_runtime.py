"""sagemaker-runtime: what `invocations.Invocations` does not answer before; moto's answers are canned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.rehearsal.cloud.aws.overlay.base import ApiCall, ApiError, Overlay, emulates


class SageMakerRuntime(Overlay):
    """Refuses by name what has no real server behind it."""

    @emulates(
        "InvokeEndpointAsync",
        "documented",
        "SageMaker Runtime API reference",
    )
    def refuse(self, call: ApiCall) -> Mapping[str, Any]:
        """Refused."""
        raise ApiError("NotImplemented", f"the local cloud does not have {call.operation}", 501)
