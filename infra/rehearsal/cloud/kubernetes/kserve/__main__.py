"""`python -m infra.rehearsal.cloud.kubernetes.kserve --root FOLDER`: the stand-in, in the foreground until SIGTERM.

With ECOMDEPLOY_KSERVE_CONTROLLER=<KServe's own manager> that program runs in its place, against the same API server,
with the same webhook port and certificate; KServe's own definitions have to be installed there already."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.kubernetes.client import KubernetesClient
from infra.rehearsal.cloud.kubernetes.kserve.admission import AdmissionHandler
from infra.rehearsal.cloud.kubernetes.kserve.children import KServeSettings
from infra.rehearsal.cloud.kubernetes.kserve.controller import Controller
from infra.rehearsal.cloud.kubernetes.kserve.install import install, wait_for_api
from infra.rehearsal.cloud.kubernetes.kserve.reconcile import Reconciler
from infra.rehearsal.cloud.kubernetes.places import KubernetesPlaces
from infra.rehearsal.cloud.kubernetes.tls_server import TlsServer, server_context
from infra.rehearsal.cloud.signals import hear_signals

REAL = "ECOMDEPLOY_KSERVE_CONTROLLER"


def main(arguments: list[str]) -> int:
    """0 after SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m infra.rehearsal.cloud.kubernetes.kserve")
    parser.add_argument("--root", type=Path, required=True, help="folder of the local Kubernetes")
    parser.add_argument(
        "--routes", choices=["gateway", "ingress", "none"], default="gateway", help="what brings callers in"
    )
    chosen = parser.parse_args(arguments)
    places = KubernetesPlaces(chosen.root)
    ending = threading.Event()
    hear_signals(ending)
    real = os.environ.get(REAL, "")
    if real:
        return run_real(Path(real), places, ending)
    return run_stand_in(places, KServeSettings(routes=chosen.routes), ending)


def run_stand_in(places: KubernetesPlaces, settings: KServeSettings, ending: threading.Event) -> int:
    """0 once `ending` is set."""
    client = KubernetesClient(places.kubeconfig)
    if wait_for_api(client, ending):
        with stand_in_at_work(client, places, settings, ending):
            print("kserve: at work", flush=True)
            ending.wait()
    return 0


@contextmanager
def stand_in_at_work(
    client: KubernetesClient, places: KubernetesPlaces, settings: KServeSettings, ending: threading.Event
) -> Iterator[Controller]:
    """Webhooks first, then the kind, then the controller; ended when the block is left. `ending` gives up waiting for
    the API server."""
    certificates = places.certificates
    port = places.ports().webhook
    context = server_context(str(certificates / "webhook.crt"), str(certificates / "webhook.key"))
    end_server = TlsServer(port, context, AdmissionHandler).start()
    try:
        install(client, port, (certificates / "ca.crt").read_bytes(), ending)
        controller = Controller(client, Reconciler(client, settings))
        worker = threading.Thread(target=controller.run, name="controller", daemon=True)
        worker.start()
        try:
            yield controller
        finally:
            controller.stop()
            worker.join(10)
    finally:
        end_server()


def run_real(program: Path, places: KubernetesPlaces, ending: threading.Event) -> int:
    """KServe's own manager as a child; its exit status, 0 when it was stopped."""
    served = places.root / "kserve" / "k8s-webhook-server" / "serving-certs"
    served.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copy(places.certificates / "webhook.crt", served / "tls.crt")
    shutil.copy(places.certificates / "webhook.key", served / "tls.key")
    environment = os.environ | {
        "KUBECONFIG": str(places.kubeconfig),
        "POD_NAMESPACE": "kserve",
        "TMPDIR": str(places.root / "kserve"),
    }
    command = [str(program), "--webhook-port", str(places.ports().webhook)]
    command += ["--metrics-addr", "127.0.0.1:0", "--health-probe-addr", "127.0.0.1:0"]
    child = subprocess.Popen(command, env=environment)
    while child.poll() is None and not ending.wait(0.2):
        pass
    if child.poll() is None:
        child.terminate()
        child.wait()
        return 0
    return int(child.returncode)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
