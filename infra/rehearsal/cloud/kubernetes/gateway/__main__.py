"""`python -m infra.rehearsal.cloud.kubernetes.gateway --root FOLDER`: serve until SIGTERM."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from infra.kubernetes.client import KubernetesClient
from infra.rehearsal.cloud.kubernetes.gateway.controller import GatewayController
from infra.rehearsal.cloud.kubernetes.gateway.proxy import EnvoyProxy
from infra.rehearsal.cloud.kubernetes.places import KubernetesPlaces


def main() -> None:
    """Run the gateway of the local Kubernetes below `--root`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    places = KubernetesPlaces(parser.parse_args().root)
    proxy = EnvoyProxy(places.root / "gateway", places.ports().gateway)
    controller = GatewayController(KubernetesClient(places.kubeconfig), proxy)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: controller.stop())
    controller.run()


if __name__ == "__main__":
    main()
