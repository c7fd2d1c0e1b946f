"""KEDA outside of a cluster: how its operator and its metrics adapter are run on loopback, and the objects by which the
API server finds them. No webhooks, no cert-manager, no pod.

Flags: https://github.com/kedacore/keda/tree/v2.21.0/cmd and https://keda.sh/docs/2.21/operate/cluster/. What follows
from running them so was measured (docs/kubernetes.md).
"""

from __future__ import annotations

import base64
import os
from pathlib import Path

from infra.kubernetes.client import KubernetesClient, Object
from infra.kubernetes.objects import condition
from infra.rehearsal.cloud.addresses import LOOPBACK
from infra.rehearsal.cloud.kubernetes.addons.base import Addon
from infra.rehearsal.cloud.kubernetes.addons.source import KEDA
from infra.rehearsal.cloud.kubernetes.certificates import AUTHORITY, KEDA_OPERATOR, Certificates
from infra.rehearsal.cloud.kubernetes.places import KubernetesPlaces, KubernetesPorts
from infra.rehearsal.cloud.kubernetes.processes import Program
from infra.rehearsal.cloud.own_files import claim_folder, read_own
from modelpack.home import write_atomically

OPERATOR, ADAPTER = "keda-operator", "keda-adapter"
NAMESPACE, SERVICE = "keda", "keda-metrics-apiserver"
METRICS_API: Object = {
    "apiVersion": "apiregistration.k8s.io/v1",
    "kind": "APIService",
    "metadata": {"name": "v1beta1.external.metrics.k8s.io"},
}
END_SECONDS = 3.0
"""The adapter waits more than 20 seconds for an operator that is gone."""


def addon() -> Addon:
    return Addon(
        source=KEDA, programs=programs, objects=objects, answers=is_available, orphans=(METRICS_API,)
    )


def programs(folder: Path, places: KubernetesPlaces, ports: KubernetesPorts) -> tuple[Program, Program]:
    """Operator and adapter of that install. What they read is written first."""
    certificates = _write_certificates(places)
    own = places.root / "keda"
    claim_folder(own / "no-authorities")
    operator = {
        "kubeconfig": places.kubeconfig,
        "cert-dir": certificates,
        "ca-dir": own / "no-authorities",
        "metrics-service-bind-address": f"{LOOPBACK}:{ports.keda}",
        "metrics-bind-address": "0",
        "health-probe-bind-address": "0",
    }
    adapter = {
        **dict.fromkeys(_KUBECONFIGS, places.kubeconfig),
        "bind-address": LOOPBACK,
        "secure-port": ports.external_metrics,
        # its own metrics: a port that the system chooses, for it cannot be told not to have one
        "port": 0,
        "cert-dir": certificates,
        "tls-cert-file": certificates / "tls.crt",
        "tls-private-key-file": certificates / "tls.key",
        "client-ca-file": certificates / "ca.crt",
        "metrics-service-address": f"{LOOPBACK}:{ports.keda}",
        "metrics-service-grpc-authority": KEDA_OPERATOR,
    }
    # no proxy variables: all that they ask is on this machine
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ} | {
        "KUBECONFIG": str(places.kubeconfig),
        "POD_NAMESPACE": NAMESPACE,
        "KEDA_CLUSTER_OBJECT_NAMESPACE": NAMESPACE,
        "WATCH_NAMESPACE": "",
    }
    told = (
        (OPERATOR, folder / "bin" / "operator", operator, ports.keda),
        (ADAPTER, folder / "bin" / "adapter", adapter, ports.external_metrics),
    )
    first, second = (
        Program(
            name=name,
            command=(str(binary), *(f"--{flag}={value}" for flag, value in flags.items())),
            port=port,
            environment=environment,
            seconds=END_SECONDS,
        )
        for name, binary, flags, port in told
    )
    return first, second


_KUBECONFIGS = (
    "kubeconfig",
    "lister-kubeconfig",
    "authentication-kubeconfig",
    "authorization-kubeconfig",
)


def _write_certificates(places: KubernetesPlaces) -> Path:
    """One certificate for both, who ask each other for it (mutual TLS), by the names that KEDA looks for."""
    folder, kept = places.root / "keda" / "certificates", Certificates(places.certificates)
    claim_folder(folder)
    for name, source in (
        ("ca.crt", kept.certificate(AUTHORITY)),
        ("tls.crt", kept.certificate("keda")),
        ("tls.key", kept.key("keda")),
    ):
        write_atomically(folder / name, read_own(source), private=True)
    return folder


def objects(places: KubernetesPlaces, ports: KubernetesPorts) -> list[Object]:
    """How the API server finds the adapter: as a Service that is a name outside of the cluster."""
    port = ports.external_metrics
    authority = read_own(Certificates(places.certificates).certificate(AUTHORITY))
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": SERVICE, "namespace": NAMESPACE},
            "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
        },
        {
            **METRICS_API,
            "spec": {
                "group": "external.metrics.k8s.io",
                "version": "v1beta1",
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "service": {"name": SERVICE, "namespace": NAMESPACE, "port": port},
                "caBundle": base64.b64encode(authority).decode(),
            },
        },
    ]


def is_available(client: KubernetesClient, ports: KubernetesPorts) -> bool:
    """Whether the API server reaches the adapter."""
    found = client.get(METRICS_API["apiVersion"], METRICS_API["kind"], METRICS_API["metadata"]["name"])
    return found is not None and condition(found, "Available").get("status") == "True"
