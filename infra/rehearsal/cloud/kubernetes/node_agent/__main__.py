"""`python -m infra.rehearsal.cloud.kubernetes.node_agent`: run the local cluster's nodes until SIGTERM."""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path

from infra.kubernetes.client import KubernetesClient, KubernetesRefused, KubernetesUnreachable
from infra.kubernetes.follow import Follow
from infra.rehearsal.cloud.kubernetes.addons.prometheus import write_targets
from infra.rehearsal.cloud.kubernetes.node_agent.addresses import PodAddresses
from infra.rehearsal.cloud.kubernetes.node_agent.agent import NodeAgent
from infra.rehearsal.cloud.kubernetes.node_agent.back_off import FIRST_BACK_OFF
from infra.rehearsal.cloud.kubernetes.node_agent.https import HttpsServer
from infra.rehearsal.cloud.kubernetes.node_agent.kubelet import KubeletApi
from infra.rehearsal.cloud.kubernetes.node_agent.metrics import MetricsApi, registration
from infra.rehearsal.cloud.kubernetes.node_agent.nodes import NodeKeeper, read_nodes
from infra.rehearsal.cloud.kubernetes.node_agent.pod import Means
from infra.rehearsal.cloud.kubernetes.node_agent.pod_store import KubernetesPodStore
from infra.rehearsal.cloud.kubernetes.node_agent.relay import Relay
from infra.rehearsal.cloud.kubernetes.node_agent.usage import UsageMeter
from infra.rehearsal.cloud.kubernetes.places import KubernetesPlaces
from infra.rehearsal.cloud.servers.models import ModelHost
from infra.rehearsal.cloud.signals import hear_signals
from modelpack.errors import EcomdeployError

MASTERS = "system:masters"
"""Whom the API server's certificate for kubelets names."""
MANAGER = "ecomdeploy-node-agent"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.rehearsal.cloud.kubernetes.node_agent")
    parser.add_argument("--root", type=Path, required=True, help="folder of the local cluster")
    parser.add_argument("--registry", required=True, help="host:port of the local registry")
    parser.add_argument("--blobs", type=Path, required=True, help="the registry's folder")
    parser.add_argument("--nodes", type=Path, help="JSON list of nodes; default nodes.json of the root")
    parser.add_argument("--first-back-off", type=float, default=FIRST_BACK_OFF, help="seconds")
    chosen = parser.parse_args(arguments)
    ending = threading.Event()
    hear_signals(ending)
    try:
        agent = serve(chosen)
        ending.wait()
        agent.stop()
    except (EcomdeployError, OSError) as problem:
        print(f"the node agent cannot start: {problem}", file=sys.stderr, flush=True)
        return 1
    return 0


def serve(chosen: argparse.Namespace) -> NodeAgent:
    """The agent at work. Raises EcomdeployError and OSError for what keeps it from starting."""
    places = KubernetesPlaces(chosen.root)
    ports, client = places.ports(), KubernetesClient(places.kubeconfig)
    host = ModelHost(places.pods, chosen.registry, chosen.blobs)
    relay = Relay().start()
    means = Means(
        host=host,
        store=KubernetesPodStore(client, ports.api, places.certificates / "ca.crt"),
        addresses=PodAddresses(relay, chosen.root),
        first_back_off=chosen.first_back_off,
    )
    woken = threading.Event()
    own = read_nodes(chosen.nodes or chosen.root / "nodes.json")
    keeper = NodeKeeper(client, own, ports.kubelet, woken.set)
    pods = Follow(client, "v1", "Pod", changed=woken.set, fields="spec.nodeName!=")
    agent = NodeAgent(means, pods.all, keeper.names)
    meter = UsageMeter(lambda: {one.id: one.pid for one in host.running()}).start()
    kubelet = KubeletApi(agent, host, f"http://127.0.0.1:{ports.gateway}")
    metrics = MetricsApi(agent, meter)
    of = places.certificates
    servers = (
        HttpsServer(ports.kubelet, of / "kubelet.crt", of / "ca.crt", kubelet.answer, MASTERS),
        HttpsServer(ports.metrics, of / "metrics.crt", of / "front-proxy-ca.crt", metrics.answer),
    )
    for server in servers:
        server.start()
    keeper.start()
    pods.start()
    threading.Thread(target=_register, args=(client, ports.metrics, of / "ca.crt"), daemon=True).start()
    threading.Thread(target=_reconcile, args=(agent, pods, woken, places), daemon=True).start()
    return agent


def _reconcile(agent: NodeAgent, pods: Follow, woken: threading.Event, places: KubernetesPlaces) -> None:
    while True:
        woken.wait()
        woken.clear()
        if pods.listed.is_set():
            agent.reconcile()
            write_targets(places, pods.all())


def _register(client: KubernetesClient, port: int, authority: Path) -> None:
    """Tell the API server where metrics are; it may have to start first."""
    pause = threading.Event()
    while True:
        try:
            for one in registration(port, authority):
                client.apply(one, MANAGER, force=True)
            return
        except (KubernetesRefused, KubernetesUnreachable):
            pause.wait(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
