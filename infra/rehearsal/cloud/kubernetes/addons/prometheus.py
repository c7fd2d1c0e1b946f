"""The real Prometheus beside the local control plane, where there is one on the PATH. It scrapes the pods that say so
by the annotations prometheus.io/scrape, port and path.

Debian builds it without Kubernetes' own discovery, so the node agent writes down which pods there are:
https://prometheus.io/docs/prometheus/latest/configuration/configuration/#file_sd_config
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from infra.kubernetes.client import Object
from infra.rehearsal.cloud.addresses import LOOPBACK
from infra.rehearsal.cloud.kubernetes.node_agent.addresses import API, HERE
from infra.rehearsal.cloud.kubernetes.places import KubernetesPlaces, KubernetesPorts
from infra.rehearsal.cloud.kubernetes.processes import Program
from modelpack.home import write_atomically

PROMETHEUS = "prometheus"
INTERVAL = "1s"
"""Of scrapes: an alarm's period of a minute passes in five seconds, where the local cloud's pace is 12."""
KEPT = "6h"


def find() -> str:
    """The binary; "" where there is none."""
    return shutil.which(PROMETHEUS) or ""


def program(places: KubernetesPlaces, ports: KubernetesPorts) -> Program:
    """How it is run. Its settings are written first."""
    folder = places.root / PROMETHEUS
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings = folder / "prometheus.yml"
    write_atomically(settings, json.dumps(configuration(places), indent=1).encode(), private=True)
    flags = {
        "config.file": settings,
        "storage.tsdb.path": folder / "data",
        "storage.tsdb.retention.time": KEPT,
        "web.listen-address": f"{LOOPBACK}:{ports.prometheus}",
        "log.level": "warn",
    }
    return Program(
        name=PROMETHEUS,
        command=(find(), *(f"--{flag}={value}" for flag, value in flags.items())),
        port=ports.prometheus,
        # no proxy variables: what it scrapes is on this machine
        environment={name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ},
    )


def configuration(places: KubernetesPlaces) -> dict[str, object]:
    """Its configuration (JSON is YAML)."""
    job = {"job_name": "pods", "file_sd_configs": [{"files": [str(targets_file(places))]}]}
    return {"global": {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL}, "scrape_configs": [job]}


def targets_file(places: KubernetesPlaces) -> Path:
    return places.root / PROMETHEUS / "targets.json"


def write_targets(places: KubernetesPlaces, pods: Iterable[Object]) -> None:
    """Tell it which pods to scrape; nothing where that is what it knows."""
    told = json.dumps([found for pod in pods if (found := target_of(pod))], indent=1).encode()
    file = targets_file(places)
    if not file.exists() or file.read_bytes() != told:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(file, told, private=True)


def target_of(pod: Object) -> dict[str, object] | None:
    """A pod that runs and asks to be scraped, with the labels that Kubernetes' own discovery gives. It is served on the
    loopback address that stands for its own."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    asked = metadata.get("annotations") or {}
    address = str(status.get("podIP") or "")
    if asked.get("prometheus.io/scrape") != "true" or not address or status.get("phase") != "Running":
        return None
    return {
        "targets": [f"{address.replace(API, HERE, 1)}:{asked.get('prometheus.io/port', '80')}"],
        "labels": {
            "namespace": metadata["namespace"],
            "pod": metadata["name"],
            "__metrics_path__": asked.get("prometheus.io/path", "/metrics"),
        },
    }
