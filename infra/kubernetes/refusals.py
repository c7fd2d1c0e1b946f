"""What an API server says no with, and that none answers."""

from __future__ import annotations

import json

from modelpack.errors import EcomdeployError


class KubernetesRefused(EcomdeployError):
    """The API server said no. `status` is HTTP's, `reason` Kubernetes' word ("NotFound", "Conflict", "Invalid"),
    `causes` what it names one by one: (field, message)."""

    def __init__(
        self, status: int, reason: str, message: str, causes: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.causes = causes


class KubernetesUnreachable(EcomdeployError):
    """No API server answered there."""


STARTING = ("before all known HTTP paths have been installed", "storage is (re)initializing")


def is_starting(refusal: KubernetesRefused) -> bool:
    """Whether the API server says that it has only begun, and did nothing with what was asked
    (k8s.io/apiserver: pkg/util/notfoundhandler and pkg/storage/cacher)."""
    return any(words in str(refusal) for words in STARTING)


def is_passing(error: EcomdeployError) -> bool:
    """Whether the same call may succeed in a moment: an API server or etcd that is being started again, or is busy."""
    refused = isinstance(error, KubernetesRefused) and (error.status >= 500 or error.status == 429)
    return refused or isinstance(error, KubernetesUnreachable)


def read_refusal(status: int, text: str) -> KubernetesRefused:
    """The server's `Status` object as an error."""
    try:
        said = json.loads(text)
    except ValueError:
        said = {}
    if not isinstance(said, dict):
        said = {}
    listed = (said.get("details") or {}).get("causes") or ()
    causes = tuple((str(cause.get("field", "")), str(cause.get("message", ""))) for cause in listed)
    words = str(said.get("message") or text.strip()[:500] or f"HTTP {status}")
    return KubernetesRefused(status, str(said.get("reason", "")), words, causes)
