"""Where the local Kubernetes keeps its things, and on which loopback ports its parts listen."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from infra.rehearsal.cloud.addresses import free, is_released, list_free_ports
from infra.rehearsal.cloud.own_files import read_own
from modelpack.home import write_atomically

GATEWAY = "kserve/kserve-ingress-gateway"
"""Namespace and name of the Gateway that routes attach to; KServe's own default."""
GATEWAY_CLASS = "ecomdeploy-local"
CONTROLLER = "ecomdeploy.dev/local-gateway"


@dataclass(frozen=True, kw_only=True)
class KubernetesPorts:
    """TCP ports on 127.0.0.1, chosen at the first start. `kubelet`: the node agent's HTTPS (logs); `metrics`: its
    metrics.k8s.io; `gateway`: plain HTTP for callers; `webhook`: KServe's admission, HTTPS;
    `prometheus`: plain HTTP; `keda`: its operator's gRPC, `external_metrics`: its adapter's HTTPS; `karpenter`: its
    health, plain HTTP."""

    api: int
    etcd: int
    peer: int
    controllers: int
    scheduler: int
    kubelet: int
    metrics: int
    gateway: int
    webhook: int
    prometheus: int
    keda: int
    external_metrics: int
    karpenter: int


@dataclass(frozen=True)
class KubernetesPlaces:
    """The files below `root` (`<home>/cloud/kubernetes`)."""

    root: Path

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, for every part of ours and for the user's own kubectl."""
        return self.root / "admin.kubeconfig"

    @property
    def wanted(self) -> Path:
        """There as long as it is to run whenever the local cloud does; what it is started with."""
        return self.root / "wanted.json"

    def addon(self, name: str) -> Path:
        """There once that add-on was asked for: in which folder it is. Its objects are among the data, and need it."""
        return self.root / f"{name}.json"

    @property
    def records(self) -> Path:
        """Which process each program is."""
        return self.root / "running"

    @property
    def certificates(self) -> Path:
        """`ca.crt`, and `<name>.crt` with `<name>.key` for each part that listens: `kubelet` (127.0.0.1), `metrics`
        (ecomdeploy-metrics.kube-system.svc), `webhook` (127.0.0.1, localhost), `keda`."""
        return self.root / "certificates"

    @property
    def logins(self) -> Path:
        """Whom the API server asks for whom a token is that it does not know; there where it asks anybody."""
        return self.root / "logins.kubeconfig"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def pods(self) -> Path:
        """Unpacked images, and what pods wrote."""
        return self.root / "pods"

    def ports(self) -> KubernetesPorts:
        """The ports. Raises FileNotFoundError before the first start, KeyError where a later part has none yet."""
        found = json.loads(read_own(self.root / "ports.json"))
        return KubernetesPorts(**{one.name: int(found[one.name]) for one in fields(KubernetesPorts)})

    def keep_ports(self, ports: KubernetesPorts) -> None:
        write_atomically(self.root / "ports.json", json.dumps(asdict(ports)).encode(), private=True)

    def choose_ports(self, *, running: bool) -> KubernetesPorts:
        """Those of the last time; where another program has taken one of them meanwhile that one is chosen anew, where
        a part has none yet all are. `running`: what holds them is the cluster's own."""
        try:
            kept = self.ports()
        except (FileNotFoundError, ValueError, KeyError):
            kept = None
        old = asdict(kept) if kept else {}
        if kept and (running or all(is_released(port) for port in old.values())):
            return kept
        others = (port for port in list_free_ports(self.root) if port not in old.values())
        names = [one.name for one in fields(KubernetesPorts)]
        chosen = {name: old[name] if name in old and free(old[name]) else next(others) for name in names}
        self.keep_ports(KubernetesPorts(**chosen))
        return KubernetesPorts(**chosen)
