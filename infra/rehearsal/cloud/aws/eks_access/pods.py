"""Pod identity associations: which IAM role the pods of a service account take. No pod takes one here: the local
cloud's keys are everybody's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import uuid4

from infra.rehearsal.cloud.aws import eks_state
from infra.rehearsal.cloud.aws.eks_state import EksState, Key
from infra.rehearsal.cloud.aws.lifecycle import Record
from infra.rehearsal.cloud.aws.overlay.base import ApiCall, ApiError, Overlay, arn, emulates, now

CHANGED = ("roleArn", "targetRoleArn", "disableSessionTags")


class PodIdentities(Overlay, ABC):
    """A part of the EKS overlay (overlay/eks.py), which gives it state and clusters."""

    state: EksState

    @abstractmethod
    def cluster_of(self, call: ApiCall, parameter: str) -> Record:
        """The cluster that the call names. Raises ApiError when there is none."""

    @abstractmethod
    def look_again(self) -> None:
        """Something of what runs in a cluster has changed."""

    @emulates("CreatePodIdentityAssociation", "documented", "API_CreatePodIdentityAssociation")
    def create_pod_identity_association(self, call: ApiCall) -> Mapping[str, Any]:
        """One a service account; Karpenter's (kube-system/karpenter) has the local Kubernetes run Karpenter."""
        asked = call.parameters
        self.cluster_of(call, "clusterName")
        held = self._find_identities(call, asked["namespace"], asked["serviceAccount"])
        if held:
            text = f"Association already exists: {held[0].fields['associationId']}"
            raise ApiError("ResourceInUseException", text)
        wanted = {name: asked[name] for name in ("serviceAccount", *CHANGED) if name in asked}
        record = self._make_identity(call, wanted, asked["namespace"], asked.get("tags", {}))
        self.look_again()
        return {"association": tell(record)}

    @emulates("DescribePodIdentityAssociation", "documented", "API_DescribePodIdentityAssociation")
    def describe_pod_identity_association(self, call: ApiCall) -> Mapping[str, Any]:
        """Those of add-ons, too."""
        return {"association": tell(self._identity_of(call))}

    @emulates("ListPodIdentityAssociations", "documented", "API_ListPodIdentityAssociations")
    def list_pod_identity_associations(self, call: ApiCall) -> Mapping[str, Any]:
        """Of the cluster, or of a namespace or service account in it, in one page and without their roles."""
        self.cluster_of(call, "clusterName")
        asked = call.parameters
        told = ("clusterName", "namespace", "serviceAccount", "associationArn", "associationId", "ownerArn")
        found = self._find_identities(call, asked.get("namespace"), asked.get("serviceAccount"))
        return {
            "associations": [{name: one.fields[name] for name in told if name in one.fields} for one in found]
        }

    @emulates("UpdatePodIdentityAssociation", "documented", "API_UpdatePodIdentityAssociation")
    def update_pod_identity_association(self, call: ApiCall) -> Mapping[str, Any]:
        """Another role; namespace and service account stay."""
        asked, record = call.parameters, self._identity_of(call)
        if "roleArn" in asked:
            eks_state.check_role(asked["roleArn"])
        record.fields |= {name: asked[name] for name in CHANGED if name in asked} | {"modifiedAt": now()}
        return {"association": tell(record)}

    @emulates("DeletePodIdentityAssociation", "documented", "API_DeletePodIdentityAssociation")
    def delete_pod_identity_association(self, call: ApiCall) -> Mapping[str, Any]:
        """At once."""
        record = self._identity_of(call)
        del self.state.identities[self._identity_key(call)]
        return {"association": tell(record)}

    def identify(self, call: ApiCall, wanted: Iterable[Mapping[str, Any]], owner: str) -> list[str]:
        """The associations of an add-on, made; their ARNs."""
        made = (
            self._make_identity(call, {**one, "ownerArn": owner}, eks_state.ADDONS_NAMESPACE, {})
            for one in wanted
        )
        return [one.fields["associationArn"] for one in made]

    def _make_identity(
        self, call: ApiCall, wanted: Mapping[str, Any], namespace: str, tags: Mapping[str, str]
    ) -> Record:
        eks_state.check_role(wanted["roleArn"])
        cluster, name = call.parameters["clusterName"], f"a-{uuid4().hex[:17]}"
        fields = {
            "disableSessionTags": False,
            **wanted,
            "clusterName": cluster,
            "namespace": namespace,
            "associationArn": arn("eks", call.region, f"podidentityassociation/{cluster}/{name}"),
            "associationId": name,
            "createdAt": now(),
            "modifiedAt": now(),
        }
        record = Record(fields=fields, tags=dict(tags))
        self.state.identities[call.region, cluster, name] = record
        return record

    def _find_identities(self, call: ApiCall, namespace: str | None, account: str | None) -> list[Record]:
        """Without a namespace or an account: whatever theirs is."""
        scope = (call.region, call.parameters["clusterName"])
        return [
            one
            for key, one in tuple(self.state.identities.items())
            if key[:2] == scope
            and namespace in (None, one.fields["namespace"])
            and account in (None, one.fields["serviceAccount"])
        ]

    def _identity_key(self, call: ApiCall) -> Key:
        return (call.region, call.parameters["clusterName"], call.parameters["associationId"])

    def _identity_of(self, call: ApiCall) -> Record:
        self.cluster_of(call, "clusterName")
        record = self.state.identities.get(self._identity_key(call))
        if record is None:
            text = f"The association {call.parameters['associationId']} was not found"
            raise ApiError("ResourceNotFoundException", text)
        return record


def tell(record: Record) -> dict[str, Any]:
    """As the API has it."""
    return {**record.fields, "tags": record.tags}
