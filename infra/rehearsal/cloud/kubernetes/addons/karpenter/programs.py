"""Karpenter outside of a cluster: its core with the provider of pretended machines, as one process on this machine.

Settings: https://karpenter.sh/docs/reference/settings/. What it makes are Nodes that nobody stands behind; the node
agent takes them over (node_agent/nodes.py).
"""

from __future__ import annotations

import json
import os
from http.client import HTTPConnection
from pathlib import Path

from infra.kubernetes.client import KubernetesClient, Object
from infra.rehearsal.cloud.addresses import LOOPBACK
from infra.rehearsal.cloud.kubernetes.addons.base import Addon
from infra.rehearsal.cloud.kubernetes.addons.karpenter.instance_types import instance_types
from infra.rehearsal.cloud.kubernetes.addons.source import KARPENTER
from infra.rehearsal.cloud.kubernetes.control_plane import is_ready
from infra.rehearsal.cloud.kubernetes.places import KubernetesPlaces, KubernetesPorts
from infra.rehearsal.cloud.kubernetes.processes import Program
from infra.rehearsal.cloud.own_files import claim_folder
from modelpack.home import write_atomically

NAME = "karpenter"
NODE_CLASS = "default"
REGISTRATION = "2s"
"""From the order of a machine to its Node, for which AWS takes half a minute."""


def addon() -> Addon:
    return Addon(source=KARPENTER, programs=programs, objects=objects, answers=answers)


def programs(folder: Path, places: KubernetesPlaces, ports: KubernetesPorts) -> tuple[Program]:
    """The one program of that install. The machines that it may bring are written first."""
    own = places.root / "karpenter"
    claim_folder(own)
    types = own / "instance_types.json"
    write_atomically(types, json.dumps(instance_types(), indent=1).encode(), private=True)
    flags = {
        "health-probe-port": ports.karpenter,
        # its metrics: a port that the system chooses, for it cannot be told not to have one
        "metrics-port": 0,
        "disable-leader-election": "true",
        "instance-types-file-path": types,
    }
    # no proxy variables: all that it asks is on this machine
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ} | {
        "KUBECONFIG": str(places.kubeconfig),
        "SYSTEM_NAMESPACE": "kube-system",
    }
    # Go names a program by its package's folder
    command = (str(folder / "bin" / "kwok"), *(f"--{flag}={value}" for flag, value in flags.items()))
    return (Program(name=NAME, command=command, port=ports.karpenter, environment=environment),)


def objects(places: KubernetesPlaces, ports: KubernetesPorts) -> list[Object]:
    """The class of machines that stands here where an EC2NodeClass does on AWS."""
    return [
        {
            "apiVersion": "karpenter.kwok.sh/v1alpha1",
            "kind": "KWOKNodeClass",
            "metadata": {"name": NODE_CLASS},
            "spec": {"nodeRegistrationDelay": REGISTRATION},
        }
    ]


def answers(client: KubernetesClient, ports: KubernetesPorts) -> bool:
    """Whether it knows the cluster."""
    return is_ready(HTTPConnection(LOOPBACK, ports.karpenter, timeout=5))
