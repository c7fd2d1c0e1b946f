"""Names that follow from content: the same release, the same name, under every driver, after every kill.

KServe makes one DNS label of `<InferenceService>-predictor-<namespace>`, and such a label has at most 63 characters
(https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4). It accepts longer names and then fails.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from infra.spec import ClusterSpec
from modelpack.errors import BadInput

LABEL = 63
DIGITS = 8
"""Of a release's key, in the name of its InferenceService."""
PREDICTOR = "-predictor"
RULE = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
CONTAINER = "kserve-container"
ENDPOINT_LABEL = "ecomdeploy.dev/endpoint"
"""Whose pods they are. KServe copies an InferenceService's labels to its pods, and starts them anew when one changes:
this one never does."""


@dataclass(frozen=True, kw_only=True)
class ClusterPlace:
    """Where on which cluster. `gateway`: the base URL that callers ask, "" where none is known: then it is asked by the
    API server's proxy; `parent`: namespace and name of the Gateway, "" for our own local cloud's; `prometheus`: where
    alarms are asked for, NAMESPACE/SERVICE:PORT or a URL, "" for nowhere; `pace`: how many seconds of a bake pass in
    one, which is more than one on the local cloud alone."""

    namespace: str
    gateway: str = ""
    parent: str = ""
    prometheus: str = ""
    pace: float = 1.0


def longest_endpoint(namespace: str) -> int:
    """How many characters an endpoint's name may have in that namespace."""
    return LABEL - len(PREDICTOR) - 1 - len(namespace) - 1 - DIGITS


def revision_name(endpoint: str, key: str, namespace: str) -> str:
    """The InferenceService's name. Raises BadInput where KServe would take it and fail later."""
    name = f"{endpoint}-{key[:DIGITS]}"
    if len(endpoint) > longest_endpoint(namespace) or not RULE.fullmatch(name):
        most = longest_endpoint(namespace)
        raise BadInput(
            f"{endpoint!r} is no name for an endpoint in the namespace {namespace}: lower-case letters, digits and -"
            f" between them, a letter first, at most {most}"
        )
    return name


def service_name(revision: str) -> str:
    """The Service that KServe makes for an InferenceService, and its Deployment."""
    return f"{revision}{PREDICTOR}"


def revision_of(service: str) -> str:
    """The InferenceService that a Service belongs to."""
    return service.removesuffix(PREDICTOR)


def app_label(revision: str) -> str:
    """The value of the label `app`, which KServe selects a revision's pods by."""
    return f"isvc.{service_name(revision)}"


def host(endpoint: str, namespace: str, domain: str = ClusterSpec.domain) -> str:
    """The host name that callers ask for."""
    return f"{endpoint}.{namespace}.{domain}"


def own_host(revision: str, namespace: str) -> str:
    """The host name of one revision alone, within the cluster."""
    return f"{service_name(revision)}.{namespace}.svc.cluster.local"


def secret_name(endpoint: str, parameter: str) -> str:
    """The Secret that holds one value for ever (infra/secrets.py: `parameter` follows from the value)."""
    return f"{endpoint}-{hashlib.sha256(parameter.encode()).hexdigest()[:16]}"


def address_for_pods(prometheus: str) -> str:
    """Its URL as a pod reaches it."""
    if "://" in prometheus:
        return prometheus
    namespace, _, service = prometheus.partition("/")
    name, _, port = service.partition(":")
    return f"http://{name}.{namespace}.svc:{port or 9090}"
