"""What the emulated EKS offers: Kubernetes versions with their dates, add-ons with their versions, access policies."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

DATES = {
    "1.32": ("2025-01-23", "2026-03-23"),
    "1.33": ("2025-05-29", "2026-07-29"),
    "1.34": ("2025-10-02", "2026-12-02"),
    "1.35": ("2026-01-28", "2027-03-27"),
}
"""Release and end of standard support; extended support is a year more.
https://docs.aws.amazon.com/eks/latest/userguide/kubernetes-versions.html"""
LATEST = max(DATES)
ADDONS = {
    "vpc-cni": ("v1.20.4-eksbuild.2", "v1.20.3-eksbuild.1"),
    "coredns": ("v1.12.4-eksbuild.1", "v1.12.3-eksbuild.1"),
    "kube-proxy": ("v{version}.0-eksbuild.2",),
    "eks-pod-identity-agent": ("v1.3.9-eksbuild.3", "v1.3.8-eksbuild.2"),
    "aws-ebs-csi-driver": ("v1.51.1-eksbuild.1", "v1.50.1-eksbuild.1"),
    "metrics-server": ("v0.8.0-eksbuild.2",),
    "eks-node-monitoring-agent": ("v1.4.1-eksbuild.1",),
}
"""The first is the default. Names are EKS's; versions are examples in EKS's form, not its list."""
NEED_NODES = frozenset({"coredns", "aws-ebs-csi-driver", "metrics-server"})
"""Deployments: nowhere to run while every node has a taint."""
POLICIES = tuple(f"AmazonEKS{name}Policy" for name in ("ClusterAdmin", "Admin", "AdminView", "Edit", "View"))


def describe_version(version: str) -> dict[str, Any]:
    """As DescribeClusterVersions tells it today."""
    released, ends = (datetime.fromisoformat(f"{text}T00:00:00+00:00") for text in DATES[version])
    standard = datetime.now(UTC) < ends
    status = "STANDARD_SUPPORT" if standard else "EXTENDED_SUPPORT"
    return {
        "clusterVersion": version,
        "clusterType": "eks",
        "defaultVersion": version == LATEST,
        "releaseDate": released,
        "endOfStandardSupportDate": ends,
        "endOfExtendedSupportDate": ends.replace(year=ends.year + 1),
        "status": status.lower(),
        "versionStatus": status,
    }


def addon_versions(name: str, version: str) -> list[str]:
    """An add-on's versions for one of Kubernetes, the default first."""
    return [each.format(version=version) for each in ADDONS.get(name, ())]


def describe_addon(name: str, versions: list[str]) -> dict[str, Any]:
    """As DescribeAddonVersions tells it, for these versions of Kubernetes."""
    found: dict[str, list[dict[str, Any]]] = {}
    for version in versions:
        for place, each in enumerate(addon_versions(name, version)):
            fits = {"clusterVersion": version, "platformVersions": ["*"], "defaultVersion": place == 0}
            found.setdefault(each, []).append(fits)
    return {
        "addonName": name,
        "publisher": "eks",
        "owner": "aws",
        "addonVersions": [
            {"addonVersion": each, "architecture": ["amd64", "arm64"], "compatibilities": fits}
            for each, fits in found.items()
        ],
    }
