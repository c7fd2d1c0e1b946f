"""Amazon EKS: cluster and managed node group."""

from __future__ import annotations

from typing import Any

from infra.rehearsal.engine.provider import ProviderError, Values
from infra.rehearsal.providers.aws.property_types import (
    camel,
    flag,
    integer,
    items,
    mapping,
    text,
    thing,
    unordered_list,
)
from infra.rehearsal.providers.aws.resource import Reading, ResourceCall, ResourceType, Update, tagger

SOURCE = "internal/service/eks/"
TAG = tagger("tag_resource", "untag_resource", "resourceArn", pair=None, tags="tags", keys="tagKeys")
GONE = ("ResourceNotFoundException",)
PATIENCE = 3600.0


def _logging(call: ResourceCall) -> Values:
    """The log types wanted, and the rest switched off where an update must say so."""
    wanted = sorted(call.inputs.get("enabledClusterLogTypes") or ())
    off = sorted(set(call.olds.get("enabledClusterLogTypes") or ()) - set(wanted))
    groups = [{"types": types, "enabled": on} for types, on in ((wanted, True), (off, False)) if types]
    return {"logging": {"clusterLogging": groups}} if groups else {}


def _create_cluster(call: ResourceCall) -> str:
    body = call.body(without=("enabledClusterLogTypes", "encryptionConfig"))
    encryption = call.body("encryptionConfig").values()
    body |= {"encryptionConfig": list(encryption)} if encryption else {}
    call.api.create_cluster(**body, **_logging(call), **({"tags": call.tags} if call.tags else {}))
    return str(call.inputs["name"])


def _cluster(call: ResourceCall) -> dict[str, Any]:
    return dict(call.api.describe_cluster(name=call.id)["cluster"])


def _read_cluster(call: ResourceCall) -> Reading:
    cluster = _cluster(call)
    logs = [
        kind
        for group in (cluster.get("logging") or {}).get("clusterLogging", ())
        if group.get("enabled")
        for kind in group["types"]
    ]
    answer = {
        **cluster,
        "enabledClusterLogTypes": logs,
        "encryptionConfig": next(iter(cluster.get("encryptionConfig") or ()), None),
    }
    issuer = ((cluster.get("identity") or {}).get("oidc") or {}).get("issuer", "")
    outputs = {
        "arn": cluster["arn"],
        "endpoint": cluster.get("endpoint", ""),
        "certificateAuthority": {"data": (cluster.get("certificateAuthority") or {}).get("data", "")},
        "createdAt": moment(cluster.get("createdAt")),
        "identities": [{"oidcs": [{"issuer": issuer}]}],
        "platformVersion": cluster.get("platformVersion", ""),
        "status": cluster["status"],
    }
    return Reading(answer, outputs, cluster.get("tags") or {})


def moment(value: Any) -> str:
    return str(value.strftime("%Y-%m-%dT%H:%M:%SZ")) if value else ""


def is_active(
    status: str, issues: list[dict[str, Any]], call: ResourceCall, bad: tuple[str, ...] = ()
) -> bool:
    """Raises ProviderError with EKS's reasons where it failed, or is in a state of `bad`."""
    if status.endswith("FAILED") or status in bad:
        why = "; ".join(f"{issue.get('code')}: {issue.get('message')}" for issue in issues)
        raise ProviderError(status, why or f"{call.id} is {status}")
    return status == "ACTIVE"


def _cluster_ready(call: ResourceCall) -> bool:
    cluster = _cluster(call)
    return is_active(cluster["status"], (cluster.get("health") or {}).get("issues", []), call)


def _update_access(call: ResourceCall) -> None:
    mode = {"authenticationMode": call.inputs["accessConfig"]["authenticationMode"]}
    call.api.update_cluster_config(name=call.id, accessConfig=mode)
    call.settle()


def _update_vpc(call: ResourceCall) -> None:
    """Where the endpoint is reached from, and which subnets and groups, are two kinds of change."""
    old, new = (inputs.get("vpcConfig") or {} for inputs in (call.olds, call.inputs))
    kinds = (
        ("subnetIds", "securityGroupIds"),
        ("endpointPublicAccess", "endpointPrivateAccess", "publicAccessCidrs"),
    )
    for names in kinds:
        if any(old.get(name) != new.get(name) for name in names):
            part = {name: new[name] for name in names if new.get(name) is not None}
            call.api.update_cluster_config(name=call.id, resourcesVpcConfig=part)
            call.settle()


def _update_policy(call: ResourceCall) -> None:
    call.api.update_cluster_config(name=call.id, **call.body("upgradePolicy"))
    call.settle()


def _update_logging(call: ResourceCall) -> None:
    call.api.update_cluster_config(name=call.id, **_logging(call))
    call.settle()


def _update_version(call: ResourceCall) -> None:
    call.api.update_cluster_version(name=call.id, version=call.inputs["version"])
    call.settle()


CLUSTER = ResourceType(
    type="aws:eks/cluster:Cluster",
    service="eks",
    spelling=camel,
    cloudformation="AWS::EKS::Cluster",
    properties={
        "name": text(),
        "roleArn": text(required=True),
        "version": text(computed=True),
        "vpcConfig": thing(
            {
                "subnetIds": unordered_list(required=True),
                "securityGroupIds": unordered_list(echo=True),
                "endpointPrivateAccess": flag(default=False),
                "endpointPublicAccess": flag(default=True),
                "publicAccessCidrs": unordered_list(computed=True),
                "clusterSecurityGroupId": text(output=True),
                "vpcId": text(output=True),
            },
            required=True,
            api="resourcesVpcConfig",
        ),
        "encryptionConfig": thing(
            {
                "provider": thing({"keyArn": text(required=True)}, required=True),
                "resources": unordered_list(required=True),
            }
        ),
        "accessConfig": thing(
            {
                "authenticationMode": text(computed=True),
                # Not told again by the API.
                "bootstrapClusterCreatorAdminPermissions": flag(default=True, echo=True),
            },
            computed=True,
            echo=True,
        ),
        "upgradePolicy": thing({"supportType": text(computed=True)}, computed=True),
        "enabledClusterLogTypes": unordered_list(),
    },
    outputs=(
        *("arn", "endpoint", "certificateAuthority", "createdAt", "identities", "platformVersion", "status"),
    ),
    volatile={"platformVersion": ("version",)},
    identity=("name",),
    name="name",
    name_form=("", 100),
    create=_create_cluster,
    read=_read_cluster,
    ready=_cluster_ready,
    broken=lambda call: "CREATE_FAILED" if _cluster(call)["status"] == "FAILED" else "",
    changes=(
        Update(("version",), _update_version),
        Update(("upgradePolicy",), _update_policy),
        Update(("accessConfig",), _update_access),
        Update(("enabledClusterLogTypes",), _update_logging),
        Update(("vpcConfig",), _update_vpc),
    ),
    delete=lambda call: call.api.delete_cluster(name=call.id),
    tag=TAG,
    gone=GONE,
    patience=PATIENCE,
)


def in_cluster(call: ResourceCall, named: str) -> dict[str, str]:
    """Cluster and part, from an id like "shop:pool"; `named`: the API's parameter for the part."""
    cluster, _, part = call.id.partition(":")
    return {"clusterName": cluster, named: part}


def _names(call: ResourceCall) -> dict[str, str]:
    return in_cluster(call, "nodegroupName")


def _create_group(call: ResourceCall) -> str:
    body = call.body(without=("forceUpdateVersion",))
    call.api.create_nodegroup(**body, **({"tags": call.tags} if call.tags else {}))
    return f"{call.inputs['clusterName']}:{call.inputs['nodeGroupName']}"


def _group(call: ResourceCall) -> dict[str, Any]:
    return dict(call.api.describe_nodegroup(**_names(call))["nodegroup"])


def _read_group(call: ResourceCall) -> Reading:
    group = _group(call)
    scaling = [{"name": item["name"]} for item in (group.get("resources") or {}).get("autoScalingGroups", ())]
    security = (group.get("resources") or {}).get("remoteAccessSecurityGroup", "")
    outputs = {
        "arn": group["nodegroupArn"],
        "status": group["status"],
        "resources": [{"autoscalingGroups": scaling, "remoteAccessSecurityGroupId": security}],
    }
    return Reading(group, outputs, group.get("tags") or {})


def _group_ready(call: ResourceCall) -> bool:
    group = _group(call)
    return is_active(group["status"], (group.get("health") or {}).get("issues", []), call)


def _update_nodes(call: ResourceCall) -> None:
    """Labels, taints, size and the pace of updates: nodes stay."""
    body: Values = call.body("scalingConfig", "updateConfig")
    old, new = (inputs.get("labels") or {} for inputs in (call.olds, call.inputs))
    if old != new:
        set_labels = {key: value for key, value in new.items() if old.get(key) != value}
        body["labels"] = {"addOrUpdateLabels": set_labels, "removeLabels": sorted(set(old) - set(new))}
    was, will = (inputs.get("taints") or [] for inputs in (call.olds, call.inputs))
    parts = {
        "addOrUpdateTaints": [taint for taint in will if taint not in was],
        "removeTaints": [
            taint
            for taint in was
            if (taint["key"], taint["effect"]) not in {(t["key"], t["effect"]) for t in will}
        ],
    }
    if any(parts.values()):
        body["taints"] = {key: value for key, value in parts.items() if value}
    for name in ("scalingConfig", "updateConfig"):
        if call.olds.get(name) == call.inputs.get(name):
            body.pop(name, None)
    call.api.update_nodegroup_config(**_names(call), **body)
    call.settle()


def _update_nodes_version(call: ResourceCall) -> None:
    """A new template version, release or Kubernetes version: nodes are replaced one after another."""
    body = call.body("launchTemplate", "version", "releaseVersion")
    template = body.get("launchTemplate") or {}
    if template.get("id"):
        template.pop("name", None)
    call.api.update_nodegroup_version(
        **_names(call), **body, force=bool(call.inputs.get("forceUpdateVersion"))
    )
    call.settle()


FORCE_NEW: dict[str, Any] = {"replaces": True, "source": SOURCE + "node_group.go"}
GROUP = ResourceType(
    type="aws:eks/nodeGroup:NodeGroup",
    service="eks",
    spelling=camel,
    cloudformation="AWS::EKS::Nodegroup",
    properties={
        "clusterName": text(required=True),
        "nodeGroupName": text(api="nodegroupName"),
        "nodeRoleArn": text(required=True, api="nodeRole"),
        "subnetIds": unordered_list(required=True, api="subnets"),
        "scalingConfig": thing(
            {name: integer(required=True) for name in ("minSize", "maxSize", "desiredSize")}, required=True
        ),
        "instanceTypes": items(computed=True),
        "amiType": text(computed=True),
        "capacityType": text(computed=True),
        "diskSize": integer(computed=True),
        "launchTemplate": thing(
            {
                "id": text(computed=True, **FORCE_NEW),
                "name": text(computed=True, **FORCE_NEW),
                "version": text(required=True),
            }
        ),
        "labels": mapping(),
        "taints": unordered_list(
            {"key": text(required=True), "value": text(), "effect": text(required=True)}
        ),
        "updateConfig": thing(
            {"maxUnavailable": integer(), "maxUnavailablePercentage": integer()}, computed=True
        ),
        "version": text(computed=True),
        "releaseVersion": text(computed=True),
        "forceUpdateVersion": flag(local=True),
    },
    outputs=("arn", "status", "resources"),
    identity=("clusterName", "nodeGroupName"),
    name="nodeGroupName",
    name_form=("", 63),
    find=lambda call: [f"{call.inputs['clusterName']}:{call.inputs['nodeGroupName']}"],
    create=_create_group,
    read=_read_group,
    ready=_group_ready,
    broken=lambda call: "CREATE_FAILED" if _group(call)["status"] == "CREATE_FAILED" else "",
    changes=(
        Update(("launchTemplate", "version", "releaseVersion"), _update_nodes_version),
        Update(("scalingConfig", "updateConfig", "labels", "taints"), _update_nodes),
    ),
    delete=lambda call: call.api.delete_nodegroup(**_names(call)),
    tag=TAG,
    gone=GONE,
    patience=PATIENCE,
)

RESOURCES = (CLUSTER, GROUP)
