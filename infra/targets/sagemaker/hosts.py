"""SageMaker's hosting instances (`ml.*`) and inference AMIs, from `infra/instances.json` and `infra/gpu_hosts.json`."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files

from infra.hosts import HostImage, Hosts
from infra.instances import table, unsupported_families
from infra.quotas.catalogue import ENDPOINT_USAGE

GPU_FAMILIES_WITH_DISKS = ("g4dn", "g5", "g6", "g7", "p3dn", "p4d", "p4de", "p5", "p6", "trn")


@cache
def hosts() -> Hosts:
    """What an endpoint can run on."""
    document = json.loads(files("infra").joinpath("gpu_hosts.json").read_text("utf-8"))["sagemaker"]
    return Hosts(
        instances=table("endpoint"),
        default="ml.c7i.xlarge",
        with_gpu="ml.g6.xlarge",
        unsupported=unsupported_families(),
        unscalable={"ml.t2": "it is burstable, and SageMaker scales no burstable instance"},
        # https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-scaling-update.html
        scaling_pins_instance=True,
        counts_by_hand=True,
        images={name: HostImage(name=name, **facts) for name, facts in document["amis"].items()},
        default_drivers=document["default_driver"],
        with_own_storage=frozenset(filter(has_own_storage, table("endpoint"))),
        quota=("sagemaker", f"{{instance}}{ENDPOINT_USAGE}"),
    )


def has_own_storage(instance: str) -> bool:
    """Whether an instance type has NVMe disks of its own ("ml.g6.xlarge", "ml.m5d.large"): by its family's name.

    Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpointConfig.html, KmsKeyId
    """
    family = instance.split(".")[1]
    return family.startswith(GPU_FAMILIES_WITH_DISKS) or bool(re.fullmatch(r"[a-z]+\d+[a-z]*d[a-z]*", family))
