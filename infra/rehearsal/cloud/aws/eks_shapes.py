"""EKS clusters and node groups as the API tells them: defaults over what was asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from infra.rehearsal.cloud.aws import eks_state
from infra.rehearsal.cloud.aws.calls import ApiCall, ApiError
from infra.rehearsal.cloud.aws.lifecycle import Record
from infra.rehearsal.cloud.aws.overlay.base import arn, now


def fill_defaults(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What the caller said, over the defaults, part by part."""
    plain = ("encryptionConfig", "kubernetesNetworkConfig", "upgradePolicy", "deletionProtection")
    given = {name: asked[name] for name in plain if name in asked}
    if "kubernetesNetworkConfig" in given:
        given["kubernetesNetworkConfig"] = {**NETWORK, **given["kubernetesNetworkConfig"]}
    if "logging" in asked:
        given["logging"] = logging({"clusterLogging": []}, asked["logging"])
    access = asked.get("accessConfig", {})
    given["accessConfig"] = {"authenticationMode": access.get("authenticationMode", "CONFIG_MAP")}
    return given


NETWORK = {"serviceIpv4Cidr": "172.20.0.0/16", "ipFamily": "ipv4", "elasticLoadBalancing": {"enabled": False}}


def defaults(call: ApiCall, name: str, version: str) -> dict[str, Any]:
    identity = uuid4().hex.upper()
    host = f"{identity}.gr7.{call.region}.eks.amazonaws.com"
    return {
        "name": name,
        "arn": arn("eks", call.region, f"cluster/{name}"),
        "createdAt": now(),
        "version": version,
        "roleArn": call.parameters["roleArn"],
        "endpoint": f"https://{host}",
        "certificateAuthority": {"data": "bm90IGEgY2VydGlmaWNhdGU6IGxvY2FsIGNsb3Vk"},
        "identity": {"oidc": {"issuer": f"https://oidc.eks.{call.region}.amazonaws.com/id/{identity}"}},
        "kubernetesNetworkConfig": NETWORK,
        "logging": logging({"clusterLogging": []}, {}),
        "platformVersion": "eks.1",
        "upgradePolicy": {"supportType": "EXTENDED"},
        "deletionProtection": False,
        "health": {"issues": []},
    }


KINDS = ("api", "audit", "authenticator", "controllerManager", "scheduler")


def logging(old: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Which logs are on: those of before, changed by what is asked."""
    on = {kind for group in old["clusterLogging"] if group.get("enabled") for kind in group["types"]}
    for group in asked.get("clusterLogging", ()):
        on = on | set(group["types"]) if group.get("enabled") else on - set(group["types"])
    groups = [
        {"types": [kind for kind in KINDS if (kind in on) == enabled], "enabled": enabled}
        for enabled in (True, False)
    ]
    return {"clusterLogging": [group for group in groups if group["types"]]}


def cluster(record: Record) -> dict[str, Any]:
    shown = {**record.fields, "status": record.status, "tags": record.tags}
    if record.status == "CREATING":
        for name in ("endpoint", "certificateAuthority"):
            del shown[name]
    return shown


def group_fields(call: ApiCall, cluster: Record) -> dict[str, Any]:
    asked = call.parameters
    where = f"nodegroup/{asked['clusterName']}/{asked['nodegroupName']}/{uuid4()}"
    fields = {
        "nodegroupName": asked["nodegroupName"],
        "nodegroupArn": arn("eks", call.region, where),
        "clusterName": asked["clusterName"],
        "version": asked.get("version", cluster.fields["version"]),
        "releaseVersion": asked.get("releaseVersion", f"{cluster.fields['version']}.0-20261101"),
        "createdAt": now(),
        "modifiedAt": now(),
        "capacityType": asked.get("capacityType", "ON_DEMAND"),
        "scalingConfig": eks_state.check_scaling(asked.get("scalingConfig", {})),
        "instanceTypes": asked.get("instanceTypes") or ["t3.medium"],
        "subnets": asked["subnets"],
        "amiType": asked.get("amiType", "AL2023_x86_64_STANDARD"),
        "nodeRole": asked["nodeRole"],
        "labels": dict(asked.get("labels", {})),
        "taints": list(asked.get("taints", ())),
        "resources": {"autoScalingGroups": [{"name": f"eks-{asked['nodegroupName']}-{uuid4()}"}]},
        "health": {"issues": []},
        "updateConfig": asked.get("updateConfig", {"maxUnavailable": 1}),
    }
    if template := asked.get("launchTemplate"):
        if "diskSize" in asked:
            text = "Disk size must be specified within the launch template."
            raise ApiError("InvalidParameterException", text)
        fields["launchTemplate"] = eks_state.check_template(call.region, template)
    else:
        fields["diskSize"] = asked.get("diskSize", 20)
    return fields


def group(record: Record) -> dict[str, Any]:
    return {**record.fields, "status": record.status, "tags": record.tags}


def upper(name: str) -> str:
    return name[:1].upper() + name[1:]
