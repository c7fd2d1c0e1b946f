"""A release in the shadow of the one that serves: an endpoint's shadow variant, which gets copies of its requests.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/model-shadow-deployment.html; one production and one shadow
variant at most: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpointConfig.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from infra.targets.sagemaker.names import read_shadow


@dataclass(frozen=True, kw_only=True)
class SeenShadow:
    """A shadow variant of an endpoint: its name, the configuration that it is in, those of the release that serves and
    of the one that gets copies, and of how many percent. `left`: traffic is on its way from there."""

    variant: str
    configuration: str
    old: str
    new: str
    copied: int
    left: bool = False


def find_shadow(endpoint: str, told: Mapping[str, Any]) -> SeenShadow | None:
    """Of an answer of DescribeEndpoint, or of its PendingDeploymentSummary. Copies are in the ratio of the weights: no
    page says how InitialVariantWeight is meant of a shadow variant; in AWS's example both are 1
    (https://docs.aws.amazon.com/sagemaker/latest/dg/model-shadow-deployment.html)."""
    for one in told.get("ShadowProductionVariants") or ():
        if both := read_shadow(endpoint, str(one["VariantName"])):
            # one that is still on its way has the weight that it is to have
            whole = sum(
                float(each.get("DesiredWeight") or 0) for each in told.get("ProductionVariants") or ()
            )
            share = float(one.get("DesiredWeight") or 0) / whole if whole else 1.0
            return SeenShadow(
                variant=str(one["VariantName"]),
                configuration=str(told.get("EndpointConfigName") or ""),
                old=both[0],
                new=both[1],
                copied=max(1, round(100 * min(1.0, share))),
            )
    return None


def find_current(endpoint: str, told: Mapping[str, Any]) -> SeenShadow | None:
    """Of an answer of DescribeEndpoint: the shadow that is there, or is coming."""
    summary = told.get("PendingDeploymentSummary")
    if summary is None:
        return find_shadow(endpoint, told)
    here = find_shadow(endpoint, told)
    return find_shadow(endpoint, summary) or (here and replace(here, left=True))
