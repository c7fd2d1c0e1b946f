"""The quotas that we meet, as Service Quotas calls them.

Names and codes: https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html and
https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html. Of SageMaker only names are public.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ENDPOINT_USAGE = " for endpoint usage"
"""After an instance type: https://docs.aws.amazon.com/general/latest/gr/sagemaker.html"""


@dataclass(frozen=True)
class KnownQuota:
    service: str
    code: str
    name: str


VPCS = KnownQuota("vpc", "L-F678F1CE", "VPCs per Region")
NAT_GATEWAYS = KnownQuota("vpc", "L-FE5A380F", "NAT gateways per Availability Zone")
ELASTIC_IPS = KnownQuota("ec2", "L-0263D0A3", "EC2-VPC Elastic IPs")

STANDARD = frozenset("acdhimrtz")
G = frozenset({"g", "vt"})
P = frozenset({"p"})
VCPUS: Mapping[str, tuple[frozenset[str], bool]] = {
    "L-1216C47A": (STANDARD, False),
    "L-DB2E81BA": (G, False),
    "L-417A185B": (P, False),
    "L-34B43A08": (STANDARD, True),
    "L-3819A6DF": (G, True),
}
"""Quotas in vCPUs by code: the families that they are for, and whether of spot instances. Spot quotas of P are one for
each group of generations, and none of these."""
VCPU_NAMES = {
    "L-1216C47A": "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
    "L-DB2E81BA": "Running On-Demand G and VT instances",
    "L-417A185B": "Running On-Demand P instances",
    "L-34B43A08": "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests",
    "L-3819A6DF": "All G and VT Spot Instance Requests",
}


def family_of(instance: str) -> str:
    """The letters that an EC2 instance type begins with ("g6.xlarge" -> "g", "vt1.3xlarge" -> "vt")."""
    head = instance.partition(".")[0]
    return head[: next((place for place, sign in enumerate(head) if sign.isdigit()), len(head))]


def vcpu_quota(instance: str, *, spot: bool) -> KnownQuota | None:
    """The quota that an EC2 instance counts against; None where that is not known."""
    for code, (families, is_spot) in VCPUS.items():
        if is_spot is spot and family_of(instance) in families:
            return KnownQuota("ec2", code, VCPU_NAMES[code])
    return None
