"""Make the API server know the kind and ask the webhooks; wait until both are so."""

from __future__ import annotations

import sys
import threading

from infra.kubernetes.client import KubernetesClient, KubernetesRefused, KubernetesUnreachable
from infra.rehearsal.cloud.kubernetes.kserve.admission import webhook_configurations
from infra.rehearsal.cloud.kubernetes.kserve.schema import OpenApi, custom_resource_definition
from infra.rehearsal.cloud.kubernetes.kserve.words import API_VERSION, KIND, Object

DOCUMENTS = ("/openapi/v3/api/v1", "/openapi/v3/apis/apps/v1", "/openapi/v3/apis/autoscaling/v2")
OWNER = "ecomdeploy"
"""Field manager of what is installed."""
PAUSE_SECONDS = 0.3


def wait_for_api(client: KubernetesClient, ending: threading.Event) -> bool:
    """Until the API server is ready; False when `ending` came first."""
    while not ending.is_set():
        try:
            client.text("/readyz")
            return True
        except (KubernetesRefused, KubernetesUnreachable):
            ending.wait(PAUSE_SECONDS)
    return False


def install(client: KubernetesClient, port: int, authority: bytes, ending: threading.Event) -> None:
    """Apply the CustomResourceDefinition and the webhook configurations, until the kind is served or `ending`; the
    webhooks have to answer already. An API server that has just begun refuses some of it for a while."""
    while not ending.is_set():
        try:
            _apply(client, port, authority)
            client.list(API_VERSION, KIND)
            return
        except (KubernetesRefused, KubernetesUnreachable) as error:
            print(f"kserve: not installed yet: {error}", file=sys.stderr, flush=True)
            ending.wait(PAUSE_SECONDS)


def _apply(client: KubernetesClient, port: int, authority: bytes) -> None:
    schemas: dict[str, Object] = {}
    for path in DOCUMENTS:
        schemas |= client.request("GET", path)["components"]["schemas"]
    client.apply(custom_resource_definition(OpenApi(schemas)), OWNER, force=True)
    for configuration in webhook_configurations(port, authority):
        client.apply(configuration, OWNER, force=True)
