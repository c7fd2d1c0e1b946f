"""The emulated account's quotas: wide until one is set. What a service has of them, by name and code."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modelpack.errors import BadInput

if TYPE_CHECKING:
    from infra.rehearsal.cloud.aws.overlay.base import Surroundings

WIDE = 100_000
"""What a quota is that nobody has set: more than any spec may ask for."""
STATE = "servicequotas"
ENDPOINT_USAGE = "{instance} for endpoint usage"
KNOWN: Mapping[str, Mapping[str, str]] = {
    "ec2": {
        "L-0263D0A3": "EC2-VPC Elastic IPs",
        "L-1216C47A": "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
        "L-417A185B": "Running On-Demand P instances",
        "L-DB2E81BA": "Running On-Demand G and VT instances",
        "L-34B43A08": "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests",
        "L-7212CCBC": "All P4, P3 and P2 Spot Instance Requests",
        "L-C4BD4855": "All P5 Spot Instance Requests",
        "L-3819A6DF": "All G and VT Spot Instance Requests",
    },
    "vpc": {"L-F678F1CE": "VPCs per Region", "L-FE5A380F": "NAT gateways per Availability Zone"},
}
"""By service and code: AWS's own. SageMaker's codes are not written down anywhere: here they follow from the name."""


def code_of(name: str) -> str:
    """The code of a quota of SageMaker's, in AWS's form."""
    return f"L-{hashlib.sha256(name.encode()).hexdigest()[:8].upper()}"


def catalogue(service: str) -> dict[str, str]:
    """Names of a service's quotas by code; empty for a service that has none here."""
    if service != "sagemaker":
        return dict(KNOWN.get(service, {}))
    from moto.core.utils import get_service_model

    types = get_service_model("sagemaker").shape_for("ProductionVariantInstanceType").enum
    return {code_of(name): name for name in (ENDPOINT_USAGE.format(instance=one) for one in types)}


def own_values(account: Surroundings) -> dict[tuple[str, str], float]:
    """The quotas that were set, by service and code; one value for all regions."""
    found: dict[tuple[str, str], float] = account.state.setdefault(STATE, {})
    return found


def limit_of(account: Surroundings, service: str, code: str) -> float:
    """What the quota is."""
    return own_values(account).get((service, code), WIDE)


def set_quota(account: Surroundings, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Set a quota by `quota`, its name or code, to `value`; returns its `service`, `code`, `name` and `value`.

    Raises:
        BadInput: there is none of that name, or no such value.
    """
    word, value = asked.get("quota"), asked.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= WIDE:
        raise BadInput(f"a quota is a number from 0 to {WIDE:,}, got {value!r}")
    for service in ("sagemaker", *KNOWN):
        for code, name in catalogue(service).items():
            if word in (code, name):
                with account.lock:
                    own_values(account)[service, code] = float(value)
                account.changed.set()
                return {"service": service, "code": code, "name": name, "value": value}
    raise BadInput(
        f"the local cloud has no quota {word!r}",
        hint='for instance "ml.g6.xlarge for endpoint usage", or "Running On-Demand G and VT instances"',
    )
