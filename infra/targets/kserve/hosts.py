"""What pods run on: EC2 types by their own names, and what a node keeps of one for itself.

A release has an instance to itself, as on SageMaker: it requests the whole instance less this reserve, so that one pod
fits on a node, and limits are what it requests. On the local cluster there is one pretended node of 64 cores.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from infra.hosts import Hosts
from infra.instances import Instance, nodes, unsupported_families


@dataclass(frozen=True, kw_only=True)
class PodRoom:
    """What a pod requests. `cpu`: thousandths of a core."""

    cpu: int
    memory_mib: int
    gpus: int


SYSTEM_CPU, SYSTEM_CPU_SHARE = 300, 0.05
"""For kubelet, runtime and the pods that each node has: thousandths of a core, and a share of all."""
SYSTEM_MEMORY_MIB, SYSTEM_MEMORY_SHARE = 1024, 0.1
"""The same of memory. The kernel has some of what is sold, and EKS keeps 255 MiB, 11 for each pod that may come and 100
against eviction: https://docs.aws.amazon.com/eks/latest/userguide/automode-learn-instances.html and
https://github.com/awslabs/amazon-eks-ami (nodeadm)."""


def room_on(instance: Instance) -> PodRoom:
    """What is left of an instance for one pod."""
    return PodRoom(
        cpu=int(1000 * instance.vcpus * (1 - SYSTEM_CPU_SHARE)) - SYSTEM_CPU,
        memory_mib=int(instance.memory_mib * (1 - SYSTEM_MEMORY_SHARE)) - SYSTEM_MEMORY_MIB,
        gpus=instance.gpu.count if instance.gpu else 0,
    )


@cache
def hosts() -> Hosts:
    """What a release can run on; drivers are those of EKS's own image for nodes with NVIDIA GPUs."""
    document = json.loads(files("infra").joinpath("gpu_hosts.json").read_text("utf-8"))["eks"]
    return Hosts(
        instances=nodes(),
        default="c7i.xlarge",
        with_gpu="g6.xlarge",
        unsupported=unsupported_families(),
        default_drivers=document["default_driver"],
    )
