"""Amazon EKS: managed add-on, access entry and the policies of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from infra.rehearsal.engine.provider import Values
from infra.rehearsal.providers.aws.eks.cluster import GONE, PATIENCE, TAG, in_cluster, is_active, moment
from infra.rehearsal.providers.aws.property_types import camel, items, text, thing, unordered_list
from infra.rehearsal.providers.aws.resource import Reading, ResourceCall, ResourceType, Update, tagger

SOURCE = "internal/service/eks/"


def _names(call: ResourceCall) -> dict[str, str]:
    return in_cluster(call, "addonName")


def _create_addon(call: ResourceCall) -> str:
    body = call.body(without=("resolveConflictsOnCreate", "resolveConflictsOnUpdate"))
    resolve = call.inputs.get("resolveConflictsOnCreate")
    body |= {"resolveConflicts": resolve} if resolve else {}
    call.api.create_addon(**body, **({"tags": call.tags} if call.tags else {}))
    return f"{call.inputs['clusterName']}:{call.inputs['addonName']}"


def _addon(call: ResourceCall) -> dict[str, Any]:
    return dict(call.api.describe_addon(**_names(call))["addon"])


def _identities(call: ResourceCall, arns: list[str]) -> Iterator[dict[str, str]]:
    """EKS tells the ARNs of associations; what they say is asked for one by one, as Terraform's provider does."""
    cluster = _names(call)["clusterName"]
    for arn in arns:
        answer = call.api.describe_pod_identity_association(
            clusterName=cluster, associationId=arn.rpartition("/")[2]
        )["association"]
        yield {"roleArn": answer["roleArn"], "serviceAccount": answer["serviceAccount"]}


def _read_addon(call: ResourceCall) -> Reading:
    addon = _addon(call)
    pods = list(_identities(call, addon.get("podIdentityAssociations") or []))
    outputs = {
        "arn": addon["addonArn"],
        "createdAt": moment(addon.get("createdAt")),
        "modifiedAt": moment(addon.get("modifiedAt")),
    }
    return Reading({**addon, "podIdentityAssociations": pods}, outputs, addon.get("tags") or {})


def _addon_ready(call: ResourceCall) -> bool:
    addon = _addon(call)
    issues = (addon.get("health") or {}).get("issues") or []
    return is_active(addon["status"], issues, call, bad=("DEGRADED",))


UPDATED = ("addonVersion", "configurationValues", "serviceAccountRoleArn", "podIdentityAssociations")


def _update_addon(call: ResourceCall) -> None:
    body: Values = {
        name: value
        for name, value in call.body(*UPDATED).items()
        if call.olds.get(name) != call.inputs.get(name)
    }
    if call.olds.get("podIdentityAssociations") and not call.inputs.get("podIdentityAssociations"):
        body["podIdentityAssociations"] = []
    resolve = call.inputs.get("resolveConflictsOnUpdate")
    call.api.update_addon(**_names(call), **body, **({"resolveConflicts": resolve} if resolve else {}))
    call.settle()


ADDON = ResourceType(
    type="aws:eks/addon:Addon",
    service="eks",
    spelling=camel,
    cloudformation="AWS::EKS::Addon",
    properties={
        "clusterName": text(required=True),
        "addonName": text(required=True),
        "addonVersion": text(computed=True),
        "configurationValues": text(computed=True),
        "serviceAccountRoleArn": text(),
        "podIdentityAssociations": unordered_list(
            {"roleArn": text(required=True), "serviceAccount": text(required=True)}
        ),
        "resolveConflictsOnCreate": text(local=True),
        "resolveConflictsOnUpdate": text(local=True),
    },
    outputs=("arn", "createdAt", "modifiedAt"),
    volatile={"modifiedAt": (*UPDATED, "tags")},
    identity=("clusterName", "addonName"),
    find=lambda call: [f"{call.inputs['clusterName']}:{call.inputs['addonName']}"],
    create=_create_addon,
    read=_read_addon,
    ready=_addon_ready,
    broken=lambda call: "CREATE_FAILED" if _addon(call)["status"] == "CREATE_FAILED" else "",
    changes=(Update(UPDATED, _update_addon),),
    delete=lambda call: call.api.delete_addon(**_names(call)),
    tag=TAG,
    gone=GONE,
    patience=PATIENCE,
)


def _who(call: ResourceCall) -> dict[str, str]:
    return in_cluster(call, "principalArn")


def _create_entry(call: ResourceCall) -> str:
    body = call.body(without=("userName",))
    name = call.inputs.get("userName")
    body |= {"username": name} if name else {}
    call.api.create_access_entry(**body, **({"tags": call.tags} if call.tags else {}))
    return f"{call.inputs['clusterName']}:{call.inputs['principalArn']}"


def _read_entry(call: ResourceCall) -> Reading:
    entry = call.api.describe_access_entry(**_who(call))["accessEntry"]
    outputs = {
        "accessEntryArn": entry["accessEntryArn"],
        "createdAt": moment(entry.get("createdAt")),
        "modifiedAt": moment(entry.get("modifiedAt")),
    }
    return Reading(entry, outputs, entry.get("tags") or {})


def _update_entry(call: ResourceCall) -> None:
    call.api.update_access_entry(
        **_who(call),
        kubernetesGroups=call.inputs.get("kubernetesGroups") or [],
        **({"username": call.inputs["userName"]} if call.inputs.get("userName") else {}),
    )


ENTRY_TAG = tagger(
    "tag_resource",
    "untag_resource",
    "resourceArn",
    of="accessEntryArn",
    pair=None,
    tags="tags",
    keys="tagKeys",
)
ENTRY = ResourceType(
    type="aws:eks/accessEntry:AccessEntry",
    service="eks",
    spelling=camel,
    cloudformation="AWS::EKS::AccessEntry",
    properties={
        "clusterName": text(required=True),
        "principalArn": text(required=True),
        "kubernetesGroups": unordered_list(computed=True),
        "type": text(default="STANDARD"),
        "userName": text(computed=True, api="username"),
    },
    outputs=("accessEntryArn", "createdAt", "modifiedAt"),
    volatile={"modifiedAt": ("kubernetesGroups", "userName", "tags")},
    identity=("clusterName", "principalArn"),
    find=lambda call: [f"{call.inputs['clusterName']}:{call.inputs['principalArn']}"],
    create=_create_entry,
    read=_read_entry,
    changes=(Update(("kubernetesGroups", "userName"), _update_entry),),
    delete=lambda call: call.api.delete_access_entry(**_who(call)),
    tag=ENTRY_TAG,
    gone=GONE,
)


def _policy(call: ResourceCall) -> dict[str, str]:
    """Its id is cluster, principal and policy with # between."""
    cluster, principal, policy = call.id.split("#")
    return {"clusterName": cluster, "principalArn": principal, "policyArn": policy}


def _associate(call: ResourceCall) -> str:
    call.api.associate_access_policy(**call.body())
    return "#".join(call.inputs[name] for name in ("clusterName", "principalArn", "policyArn"))


def _read_policy(call: ResourceCall) -> Reading | None:
    wanted = _policy(call)
    policy = wanted.pop("policyArn")
    found = call.api.list_associated_access_policies(**wanted)["associatedAccessPolicies"]
    for one in found:
        if one["policyArn"] == policy:
            outputs = {name: moment(one.get(name)) for name in ("associatedAt", "modifiedAt")}
            return Reading({**one, **wanted}, outputs)
    return None


FORCE_NEW: dict[str, Any] = {"replaces": True, "source": SOURCE + "access_policy_association.go"}
POLICY = ResourceType(
    type="aws:eks/accessPolicyAssociation:AccessPolicyAssociation",
    service="eks",
    spelling=camel,
    properties={
        "clusterName": text(required=True, **FORCE_NEW),
        "principalArn": text(required=True, **FORCE_NEW),
        "policyArn": text(required=True, **FORCE_NEW),
        "accessScope": thing(
            {"type": text(required=True), "namespaces": items()}, required=True, **FORCE_NEW
        ),
    },
    outputs=("associatedAt", "modifiedAt"),
    identity=("clusterName", "principalArn", "policyArn"),
    find=lambda call: ["#".join(call.inputs[name] for name in ("clusterName", "principalArn", "policyArn"))],
    create=_associate,
    read=_read_policy,
    delete=lambda call: call.api.disassociate_access_policy(**_policy(call)),
    gone=GONE,
)

RESOURCES = (ADDON, ENTRY, POLICY)
