"""The machines that Karpenter may bring here: our own table, in the words of its provider of pretended ones.

Format: https://github.com/kubernetes-sigs/karpenter/tree/v1.14.1/kwok (InstanceTypeOptions).
"""

from __future__ import annotations

from typing import Any

from infra import instances
from infra.rehearsal.cloud.addresses import REGION

ZONES = tuple(f"{REGION}{letter}" for letter in "abc")
SPOT_SHARE = 0.4
"""Of the price on demand: an assumption, for AWS's changes by the hour. What counts is that it is the lower one."""
PODS = 110
DISK = "100Gi"
KEPT_MIB = 255 + 11 * PODS + 100
"""Of a machine's memory, by the kubelet of EKS's nodes (github.com/awslabs/amazon-eks-ami, nodeadm)."""


def instance_types() -> list[dict[str, Any]]:
    """All with a price, cheapest offers of each zone included: Karpenter compares prices."""
    return [_type_of(one) for one in instances.nodes().values() if one.usd_hour]


def _type_of(instance: instances.Instance) -> dict[str, Any]:
    gpus = {"nvidia.com/gpu": str(instance.gpu.count)} if instance.gpu else {}
    assert instance.usd_hour is not None, "asked only of those with a price"
    prices = {"on-demand": instance.usd_hour, "spot": round(instance.usd_hour * SPOT_SHARE, 4)}
    return {
        "name": instance.name,
        "architecture": "amd64",
        "operatingSystems": ["linux"],
        "resources": {
            "cpu": str(instance.vcpus),
            "memory": f"{instance.memory_mib - KEPT_MIB}Mi",
            "pods": str(PODS),
            "ephemeral-storage": DISK,
            **gpus,
        },
        "offerings": [
            {
                "Price": price,
                "Requirements": [
                    _is("karpenter.sh/capacity-type", capacity),
                    _is("topology.kubernetes.io/zone", zone),
                ],
            }
            for capacity, price in prices.items()
            for zone in ZONES
        ],
    }


def _is(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "operator": "In", "values": [value]}
