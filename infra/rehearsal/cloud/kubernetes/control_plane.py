"""The four programs of a real control plane, on loopback: what each is told.

Flags: https://kubernetes.io/docs/reference/command-line-tools-reference/ and https://etcd.io/docs/v3.6/op-guide/
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path

from infra.rehearsal.cloud.addresses import LOOPBACK
from infra.rehearsal.cloud.kubernetes.binaries import Binaries
from infra.rehearsal.cloud.kubernetes.certificates import AUTHORITY, FRONT_PROXY, STORE, Certificates
from infra.rehearsal.cloud.kubernetes.places import KubernetesPlaces, KubernetesPorts
from infra.rehearsal.cloud.kubernetes.processes import Program
from modelpack.home import write_atomically

SERVICES = "10.96.0.0/16"
PODS = "10.77.0.0/16"
END_SECONDS = 8.0


def write_kubeconfigs(places: KubernetesPlaces, ports: KubernetesPorts) -> None:
    """The administrator's, and those of the programs that are clients."""
    certificates = Certificates(places.certificates)
    write_atomically(places.kubeconfig, certificates.kubeconfig("admin", ports.api), private=True)
    for name in ("controllers", "scheduler"):
        path = _kubeconfig(places, name)
        write_atomically(path, certificates.kubeconfig(name, ports.api), private=True)


def write_logins(places: KubernetesPlaces, address: str) -> None:
    """Who knows whom a bearer token is that Kubernetes does not, in the form of a kubeconfig; "": nobody is asked.

    What the API server proves itself by is in the address: client-go sends a token of its own over TLS alone.
    """
    if not address:
        places.logins.unlink(missing_ok=True)
        return
    told = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "logins", "cluster": {"server": address}}],
        "users": [{"name": "api-server", "user": {}}],
        "contexts": [{"name": "logins", "context": {"cluster": "logins", "user": "api-server"}}],
        "current-context": "logins",
    }
    write_atomically(places.logins, json.dumps(told).encode(), private=True)


def control_plane(
    places: KubernetesPlaces, ports: KubernetesPorts, binaries: Binaries
) -> tuple[Program, ...]:
    """etcd, the API server, the controllers, the scheduler; in the order in which they need each other."""
    flags = {
        "etcd": _etcd(places, ports),
        "kube-apiserver": _api_server(places, ports),
        "kube-controller-manager": _controllers(places, ports),
        "kube-scheduler": _scheduler(places, ports),
    }
    bound = {
        "etcd": ports.etcd,
        "kube-apiserver": ports.api,
        "kube-controller-manager": ports.controllers,
        "kube-scheduler": ports.scheduler,
    }
    # No proxy variables: the API server would ask a proxy for pods, services and webhooks. No GOMEMLIMIT: below the
    # live heap it costs a whole core for ever.
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return tuple(
        Program(
            name=name,
            command=(str(binaries.path(name)), *(f"--{flag}={value}" for flag, value in of.items())),
            port=bound[name],
            environment=environment,
            seconds=END_SECONDS,
        )
        for name, of in flags.items()
    )


def _kubeconfig(places: KubernetesPlaces, name: str) -> Path:
    return places.root / f"{name}.kubeconfig"


def _etcd(places: KubernetesPlaces, ports: KubernetesPorts) -> Mapping[str, object]:
    kept = Certificates(places.certificates)
    clients, peers = f"https://{LOOPBACK}:{ports.etcd}", f"https://{LOOPBACK}:{ports.peer}"
    return {
        "name": "local",
        "data-dir": places.root / "etcd",
        "listen-client-urls": clients,
        "advertise-client-urls": clients,
        "listen-peer-urls": peers,
        "initial-advertise-peer-urls": peers,
        "initial-cluster": f"local={peers}",
        # whoever reads etcd reads every secret: it knows the API server alone
        "cert-file": kept.certificate("etcd"),
        "key-file": kept.key("etcd"),
        "client-cert-auth": "true",
        "trusted-ca-file": kept.certificate(STORE),
        "peer-cert-file": kept.certificate("etcd"),
        "peer-key-file": kept.key("etcd"),
        "peer-client-cert-auth": "true",
        "peer-trusted-ca-file": kept.certificate(STORE),
        "log-level": "warn",
        "auto-compaction-mode": "periodic",
        "auto-compaction-retention": "10m",
    }


def _api_server(places: KubernetesPlaces, ports: KubernetesPorts) -> Mapping[str, object]:
    kept = Certificates(places.certificates)
    return {
        "etcd-servers": f"https://{LOOPBACK}:{ports.etcd}",
        "etcd-cafile": kept.certificate(STORE),
        "etcd-certfile": kept.certificate("etcd-client"),
        "etcd-keyfile": kept.key("etcd-client"),
        "bind-address": LOOPBACK,
        "secure-port": ports.api,
        "advertise-address": LOOPBACK,
        # a loopback address is refused in the endpoints of the Service `kubernetes`
        "endpoint-reconciler-type": "none",
        "service-cluster-ip-range": SERVICES,
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "client-ca-file": kept.certificate(AUTHORITY),
        "tls-cert-file": kept.certificate("apiserver"),
        "tls-private-key-file": kept.key("apiserver"),
        "kubelet-client-certificate": kept.certificate("kubelet-client"),
        "kubelet-client-key": kept.key("kubelet-client"),
        "kubelet-certificate-authority": kept.certificate(AUTHORITY),
        "kubelet-preferred-address-types": "InternalIP",
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": kept.accounts_public,
        "service-account-signing-key-file": kept.accounts_key,
        # for aggregated APIs: metrics.k8s.io
        "requestheader-client-ca-file": kept.certificate(FRONT_PROXY),
        "requestheader-allowed-names": "front-proxy-client",
        "requestheader-username-headers": "X-Remote-User",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "proxy-client-cert-file": kept.certificate("front-proxy-client"),
        "proxy-client-key-file": kept.key("front-proxy-client"),
        "shutdown-delay-duration": "0s",
        **(
            _LOGINS | {"authentication-token-webhook-config-file": places.logins}
            if places.logins.exists()
            else {}
        ),
    }


_LOGINS = {
    "authentication-token-webhook-version": "v1",
    # an access entry that was taken away is gone soon, here and at AWS
    "authentication-token-webhook-cache-ttl": "5s",
}


def _controllers(places: KubernetesPlaces, ports: KubernetesPorts) -> Mapping[str, object]:
    kept = Certificates(places.certificates)
    return {
        **_client(places, "controllers", ports.controllers),
        "client-ca-file": kept.certificate(AUTHORITY),
        "requestheader-client-ca-file": kept.certificate(FRONT_PROXY),
        "service-account-private-key-file": kept.accounts_key,
        "root-ca-file": kept.certificate(AUTHORITY),
        "cluster-signing-cert-file": kept.certificate(AUTHORITY),
        "cluster-signing-key-file": kept.key(AUTHORITY),
        "use-service-account-credentials": "true",
        "cluster-cidr": PODS,
    }


def _scheduler(places: KubernetesPlaces, ports: KubernetesPorts) -> Mapping[str, object]:
    return _client(places, "scheduler", ports.scheduler)


def _client(places: KubernetesPlaces, name: str, port: int) -> Mapping[str, object]:
    kept = Certificates(places.certificates)
    own = _kubeconfig(places, name)
    return {
        "kubeconfig": own,
        "authentication-kubeconfig": own,
        "authorization-kubeconfig": own,
        "bind-address": LOOPBACK,
        "secure-port": port,
        "tls-cert-file": kept.certificate(name),
        "tls-private-key-file": kept.key(name),
        "leader-elect": "false",
    }


def answers(places: KubernetesPlaces, ports: KubernetesPorts) -> bool:
    """Whether the API server says that it is ready."""
    certificates = Certificates(places.certificates)
    context = ssl.create_default_context(cafile=certificates.certificate(AUTHORITY))
    context.load_cert_chain(certificates.certificate("admin"), certificates.key("admin"))
    return is_ready(HTTPSConnection(LOOPBACK, ports.api, timeout=5, context=context))


def is_ready(connection: HTTPConnection) -> bool:
    """Whether who listens there says that it is; the connection is closed."""
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
