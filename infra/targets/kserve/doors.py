"""The two ways to ask an endpoint: at its gateway, as clients do, or by the API server's proxy, where no address of the
gateway is known here (https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services/).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Protocol
from urllib.parse import urlsplit

from infra.kubernetes.base import KubernetesApi, Object
from infra.kubernetes.client import Forwarded, KubernetesRefused
from infra.targets.kserve.manifests import SERVICE_PORT
from infra.targets.kserve.names import service_name
from modelpack.errors import EcomdeployError

SECONDS = 70.0
"""A little more than SageMaker gives an answer."""
PART = 64 * 1024
PATH = "/invocations"
GATEWAY = ("gateway.networking.k8s.io/v1", "Gateway")
BESIDE = "gateway.networking.k8s.io/gateway-name={name}"
"""On the Service that a Gateway's controller makes beside it (GEP-1762; Istio, Cilium, NGINX do)."""
OWNER = "gateway.envoyproxy.io/owning-gateway"
ELSEWHERE = f"{OWNER}-name={{name}},{OWNER}-namespace={{namespace}}"
"""On Envoy Gateway's, which is in another namespace."""


LOCAL_CLASS = "ecomdeploy-local"
"""The GatewayClass of the local cloud's Kubernetes."""


class Door(Protocol):
    def ask(self, host: str, body: bytes, content_type: str) -> AbstractContextManager[Forwarded]:
        """One POST of an invocation, once: a retry would hide the failed request that a verification is there to see.

        Raises:
            EcomdeployError: nobody answers; it comes of a TimeoutError where nothing was said in time.
        """
        ...


@dataclass(frozen=True)
class GatewayDoor:
    """`url`: the gateway's base URL, which chooses by the Host header
    (https://gateway-api.sigs.k8s.io/reference/spec/#httproutespec)."""

    url: str

    @contextmanager
    def ask(self, host: str, body: bytes, content_type: str) -> Iterator[Forwarded]:
        """See Door."""
        address = urlsplit(self.url)
        kind = HTTPSConnection if address.scheme == "https" else HTTPConnection
        connection = kind(address.hostname or "", address.port, timeout=SECONDS)
        try:
            headers = {"Host": host, "Content-Type": content_type}
            connection.request("POST", f"{address.path.rstrip('/')}{PATH}", body, headers)
            answer = connection.getresponse()
            yield Forwarded(answer.status, answer.headers, iter(lambda: answer.read1(PART), b""))
        except (OSError, HTTPException) as error:
            raise EcomdeployError(f"asking {host} at {self.url}: {error or type(error).__name__}") from error
        finally:
            connection.close()


@dataclass(frozen=True)
class ProxyDoor:
    """`path`: of a Service's proxy subresource; what the API server itself refuses there is an error, not an answer."""

    api: KubernetesApi
    path: str

    @contextmanager
    def ask(self, host: str, body: bytes, content_type: str) -> Iterator[Forwarded]:
        """See Door."""
        headers = {"Host": host, "Content-Type": content_type}
        with self.api.forward(f"{self.path}/proxy{PATH}", body, headers, SECONDS) as answer:
            if answer.status in (401, 403, 404) and "audit-id" in answer.headers:
                data = b"".join(answer.parts)
                if b'"kind":"Status"' in data.replace(b" ", b""):
                    words = data[:300].decode(errors="replace")
                    raise KubernetesRefused(
                        answer.status, "", f"the API server's proxy, asked for {host}: {words}"
                    )
                answer = Forwarded(answer.status, answer.headers, iter([data]))
            yield answer


def path_of(namespace: str, service: str, port: object) -> str:
    return f"/api/v1/namespaces/{namespace}/services/{service}:{port}"


def door_of_release(api: KubernetesApi, namespace: str, revision: str) -> Door:
    """To one release alone, whether a route leads to it or not."""
    return ProxyDoor(api, path_of(namespace, service_name(revision), SERVICE_PORT))


def find_door(api: KubernetesApi, parent: str) -> Door:
    """To what a Gateway (`namespace/name`) serves: by its controller's Service, else at the address in its status.

    Raises:
        EcomdeployError: it has neither.
    """
    namespace, name = parent.split("/")
    for service in find_services(api, namespace, name):
        if port := port_of(service):
            metadata = service["metadata"]
            return ProxyDoor(api, path_of(metadata.get("namespace", namespace), metadata["name"], port))
    found = api.get(*GATEWAY, name, namespace)
    addresses = ((found or {}).get("status") or {}).get("addresses") or ()
    for address in addresses:
        value = str(address["value"])
        return GatewayDoor(f"http://[{value}]" if ":" in value else f"http://{value}")
    raise EcomdeployError(
        f"nothing says where the Gateway {parent} is asked: it has no Service of its own, and no address",
        hint="ECOMDEPLOY_GATEWAY=http://HOST:PORT, as clients reach it",
    )


def has_services_hosts(api: KubernetesApi, parent: str) -> bool:
    """Whether that Gateway answers for every Service by its own host, too: the local cloud's does, a cluster's does
    not."""
    namespace, name = parent.split("/")
    found = api.get(*GATEWAY, name, namespace)
    return found is not None and found["spec"].get("gatewayClassName") == LOCAL_CLASS


def find_services(api: KubernetesApi, namespace: str, name: str) -> list[Object]:
    """The Services in front of a Gateway's proxies, as far as we may look."""
    beside = api.list("v1", "Service", namespace, labels=BESIDE.format(name=name))
    if beside:
        return beside
    try:
        return api.list("v1", "Service", "", labels=ELSEWHERE.format(name=name, namespace=namespace))
    except KubernetesRefused as refused:
        if refused.status == 403:
            return []
        raise


def port_of(service: Mapping[str, Object]) -> int:
    """Its port for plain HTTP, 0 without one."""
    ports = [int(one["port"]) for one in service["spec"].get("ports") or ()]
    return 80 if 80 in ports else next((port for port in ports if port not in (443, 15021)), 0)
