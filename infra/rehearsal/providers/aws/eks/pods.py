"""Amazon EKS: the role that the pods of a service account take."""

from __future__ import annotations

from collections.abc import Iterator

from infra.rehearsal.providers.aws.eks.cluster import GONE
from infra.rehearsal.providers.aws.property_types import camel, flag, text
from infra.rehearsal.providers.aws.resource import Reading, ResourceCall, ResourceType, Update, tagger

CHANGED = ("roleArn", "targetRoleArn", "disableSessionTags")


def _where(call: ResourceCall) -> dict[str, str]:
    """Its id does not tell its cluster."""
    return {"clusterName": call.inputs["clusterName"], "associationId": call.id}


def _create(call: ResourceCall) -> str:
    made = call.api.create_pod_identity_association(
        **call.body(), **({"tags": call.tags} if call.tags else {})
    )
    return str(made["association"]["associationId"])


def _find(call: ResourceCall) -> Iterator[str]:
    """A service account has one; a cluster that is still to be made has none."""
    asked = {name: call.inputs[name] for name in ("clusterName", "namespace", "serviceAccount")}
    try:
        found = call.api.list_pod_identity_associations(**asked)["associations"]
    except call.api.exceptions.ResourceNotFoundException:
        return
    yield from (one["associationId"] for one in found)


def _read(call: ResourceCall) -> Reading:
    found = call.api.describe_pod_identity_association(**_where(call))["association"]
    outputs = {
        "associationArn": found["associationArn"],
        "associationId": found["associationId"],
        "externalId": found.get("externalId", ""),
    }
    return Reading(found, outputs, found.get("tags") or {})


def _change(call: ResourceCall) -> None:
    wanted = call.body(*CHANGED)
    if call.olds.get("targetRoleArn") and not call.inputs.get("targetRoleArn"):
        wanted["targetRoleArn"] = ""
    call.api.update_pod_identity_association(**_where(call), **wanted)


ASSOCIATION = ResourceType(
    type="aws:eks/podIdentityAssociation:PodIdentityAssociation",
    service="eks",
    spelling=camel,
    cloudformation="AWS::EKS::PodIdentityAssociation",
    properties={
        "clusterName": text(required=True),
        "namespace": text(required=True),
        "serviceAccount": text(required=True),
        "roleArn": text(required=True),
        "targetRoleArn": text(),
        "disableSessionTags": flag(default=False),
    },
    outputs=("associationArn", "associationId", "externalId"),
    identity=("clusterName", "namespace", "serviceAccount"),
    find=_find,
    create=_create,
    read=_read,
    changes=(Update(CHANGED, _change),),
    delete=lambda call: call.api.delete_pod_identity_association(**_where(call)),
    tag=tagger(
        "tag_resource",
        "untag_resource",
        "resourceArn",
        of="associationArn",
        pair=None,
        tags="tags",
        keys="tagKeys",
    ),
    gone=GONE,
)

RESOURCES = (ASSOCIATION,)
