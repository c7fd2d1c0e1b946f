"""What EKS has within a cluster beside nodes: managed add-ons with their pods' roles, and access entries."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from infra.rehearsal.cloud.aws import eks_catalogue
from infra.rehearsal.cloud.aws.eks_access.pods import PodIdentities
from infra.rehearsal.cloud.aws.eks_state import Key
from infra.rehearsal.cloud.aws.lifecycle import GONE, Record
from infra.rehearsal.cloud.aws.overlay.base import ApiCall, ApiError, arn, emulates, now

SECONDS = 0.5


class EksParts(PodIdentities, ABC):
    """A part of the EKS overlay (overlay/eks.py), which gives it state and clusters."""

    @abstractmethod
    def active(self, record: Record, kind: str) -> Record:
        """The record, if it can be changed now. Raises ApiError."""

    @abstractmethod
    def start_update(
        self, key: Key, record: Record, kind: str, changed: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """UPDATING for a while."""

    def get(self, store: dict[Key, Record], key: Key) -> Record | None:
        """The record, if it is not gone by now."""
        record = store.get(key)
        if record is not None and record.gone:
            del store[key]
            return None
        return record

    # ---- what is offered ----

    @emulates("DescribeClusterVersions", "documented", "API_DescribeClusterVersions")
    def describe_cluster_versions(self, call: ApiCall) -> Mapping[str, Any]:
        """1.32 to 1.35 with their dates and support as of today."""
        wanted = call.parameters.get("clusterVersions") or list(eks_catalogue.DATES)
        status = call.parameters.get("versionStatus")
        told = [eks_catalogue.describe_version(one) for one in wanted if one in eks_catalogue.DATES]
        return {"clusterVersions": [one for one in told if status in (None, one["versionStatus"])]}

    @emulates("DescribeAddonVersions", "documented", "API_DescribeAddonVersions")
    def describe_addon_versions(self, call: ApiCall) -> Mapping[str, Any]:
        """Seven of EKS's add-ons; their versions are examples in EKS's form."""
        name, version = call.parameters.get("addonName"), call.parameters.get("kubernetesVersion")
        if name is not None and name not in eks_catalogue.ADDONS:
            raise ApiError("InvalidParameterException", f"Addon {name} specified is not supported")
        names = [name] if name else list(eks_catalogue.ADDONS)
        versions = [version] if version else list(eks_catalogue.DATES)
        return {"addons": [eks_catalogue.describe_addon(one, versions) for one in names]}

    # ---- add-ons ----

    @emulates("CreateAddon", "documented", "API_CreateAddon")
    def create_addon(self, call: ApiCall) -> Mapping[str, Any]:
        """CREATING, then ACTIVE; DEGRADED where its pods have no node without a taint to run on."""
        asked = call.parameters
        cluster = self.active(self.cluster_of(call, "clusterName"), "Cluster")
        name, key = asked["addonName"], self._addon_key(call)
        if self.get(self.state.addons, key):
            raise ApiError("ResourceInUseException", "Addon already exists.")
        version = asked.get("addonVersion") or self._default(name, cluster)
        self._check_addon(name, version, cluster)
        fields: dict[str, Any] = {
            "addonName": name,
            "clusterName": asked["clusterName"],
            "addonVersion": version,
            "addonArn": arn("eks", call.region, f"addon/{asked['clusterName']}/{name}/{uuid4()}"),
            "createdAt": now(),
            "modifiedAt": now(),
            "publisher": "eks",
            "owner": "aws",
            "health": {"issues": []},
            **{one: asked[one] for one in ("configurationValues", "serviceAccountRoleArn") if one in asked},
        }
        wanted = asked.get("podIdentityAssociations", ())
        fields["podIdentityAssociations"] = self.identify(call, wanted, fields["addonArn"])
        record = Record(fields=fields, tags=dict(asked.get("tags", {})))
        record.become("CREATING", self._state_of(record, key), SECONDS)
        self.state.addons[key] = record
        return {"addon": self._addon(record)}

    @emulates("DescribeAddon", "documented", "API_DescribeAddon")
    def describe_addon(self, call: ApiCall) -> Mapping[str, Any]:
        """With the ARNs of its pod identity associations."""
        return {"addon": self._addon(self._addon_of(call))}

    @emulates("ListAddons", "documented", "API_ListAddons")
    def list_addons(self, call: ApiCall) -> Mapping[str, Any]:
        """All of the cluster in one page."""
        self.cluster_of(call, "clusterName")
        return {"addons": [key[2] for key in self._keys(self.state.addons, call, "clusterName")]}

    @emulates("UpdateAddon", "documented", "API_UpdateAddon")
    def update_addon(self, call: ApiCall) -> Mapping[str, Any]:
        """Another version, configuration or roles of its pods."""
        asked, key = call.parameters, self._addon_key(call)
        record, cluster = self._addon_of(call), self.cluster_of(call, "clusterName")
        if record.status not in ("ACTIVE", "DEGRADED"):
            raise ApiError("ResourceInUseException", f"Addon {key[2]} is {record.status}")
        if version := asked.get("addonVersion"):
            self._check_addon(key[2], version, cluster)
            record.fields["addonVersion"] = version
        for one in ("configurationValues", "serviceAccountRoleArn"):
            if one in asked:
                record.fields[one] = asked[one]
        if "podIdentityAssociations" in asked:
            for held in record.fields["podIdentityAssociations"]:
                self.state.identities.pop((*key[:2], held.rpartition("/")[2]), None)
            wanted = asked["podIdentityAssociations"]
            record.fields["podIdentityAssociations"] = self.identify(call, wanted, record.fields["addonArn"])
        record.fields["modifiedAt"] = now()
        answer = self.start_update(key, record, "AddonUpdate", {})
        record.then = self._state_of(record, key)
        return answer

    @emulates("DeleteAddon", "documented", "API_DeleteAddon")
    def delete_addon(self, call: ApiCall) -> Mapping[str, Any]:
        """DELETING, then gone with its pod identity associations."""
        record = self._addon_of(call)
        if record.status != "DELETING":
            record.become("DELETING", GONE, SECONDS)
            for held in record.fields["podIdentityAssociations"]:
                self.state.identities.pop((*self._addon_key(call)[:2], held.rpartition("/")[2]), None)
        return {"addon": self._addon(record)}

    def _default(self, name: str, cluster: Record) -> str:
        return next(iter(eks_catalogue.addon_versions(name, cluster.fields["version"])), "")

    def _check_addon(self, name: str, version: str, cluster: Record) -> None:
        if name not in eks_catalogue.ADDONS:
            raise ApiError("InvalidParameterException", f"Addon {name} specified is not supported")
        if version not in eks_catalogue.addon_versions(name, cluster.fields["version"]):
            raise ApiError("InvalidParameterException", "Addon version specified is not supported")

    def _state_of(self, record: Record, key: Key) -> str:
        """ACTIVE, if what it runs finds a node."""
        groups = [
            group.fields
            for where, group in tuple(self.state.groups.items())
            if where[:2] == key[:2] and not group.gone
        ]
        has_room = any(not one["taints"] and one["scalingConfig"]["desiredSize"] for one in groups)
        lost = key[2] in eks_catalogue.NEED_NODES and not has_room
        text = "The add-on is unhealthy because it doesn't have the desired number of replicas."
        issue = {"code": "InsufficientNumberOfReplicas", "message": text, "resourceIds": []}
        record.fields["health"] = {"issues": [issue] if lost else []}
        return "DEGRADED" if lost else "ACTIVE"

    def _addon_key(self, call: ApiCall) -> Key:
        return (call.region, call.parameters["clusterName"], call.parameters["addonName"])

    def _addon_of(self, call: ApiCall) -> Record:
        self.cluster_of(call, "clusterName")
        record = self.get(self.state.addons, self._addon_key(call))
        if record is None:
            name = call.parameters["addonName"]
            text = f"No addon: {name} found in cluster: {call.parameters['clusterName']}"
            raise ApiError("ResourceNotFoundException", text)
        return record

    def _addon(self, record: Record) -> dict[str, Any]:
        return {**record.fields, "status": record.status, "tags": record.tags}

    def _keys(self, store: dict[Key, Record], call: ApiCall, parameter: str) -> list[Key]:
        scope = (call.region, call.parameters[parameter])
        return [key for key in tuple(store) if key[:2] == scope and self.get(store, key)]

    # ---- access entries ----

    @emulates("CreateAccessEntry", "documented", "API_CreateAccessEntry")
    def create_access_entry(self, call: ApiCall) -> Mapping[str, Any]:
        """Not where the cluster reads a config map alone."""
        asked = call.parameters
        cluster = self._with_entries(call)
        key = self._access_key(call)
        if key in self.state.access:
            text = "The specified access entry resource is already in use on this cluster."
            raise ApiError("ResourceInUseException", text)
        fields = {
            "clusterName": asked["clusterName"],
            "principalArn": asked["principalArn"],
            "kubernetesGroups": list(asked.get("kubernetesGroups", ())),
            "username": asked.get("username", asked["principalArn"]),
            "type": asked.get("type", "STANDARD"),
            "accessEntryArn": arn("eks", call.region, f"access-entry/{cluster.fields['name']}/{uuid4()}"),
            "createdAt": now(),
            "modifiedAt": now(),
        }
        record = Record(fields={**fields, "policies": {}}, tags=dict(asked.get("tags", {})))
        self.state.access[key] = record
        return {"accessEntry": self._entry(record)}

    @emulates("DescribeAccessEntry", "documented", "API_DescribeAccessEntry")
    def describe_access_entry(self, call: ApiCall) -> Mapping[str, Any]:
        """Without its policies."""
        return {"accessEntry": self._entry(self._entry_of(call))}

    @emulates("ListAccessEntries", "documented", "API_ListAccessEntries")
    def list_access_entries(self, call: ApiCall) -> Mapping[str, Any]:
        """All of the cluster in one page; the one of whoever made it is not told."""
        self._with_entries(call)
        return {"accessEntries": [key[2] for key in self._keys(self.state.access, call, "clusterName")]}

    @emulates("UpdateAccessEntry", "documented", "API_UpdateAccessEntry")
    def update_access_entry(self, call: ApiCall) -> Mapping[str, Any]:
        """Groups and user name."""
        record = self._entry_of(call)
        for one in ("kubernetesGroups", "username"):
            if one in call.parameters:
                record.fields[one] = call.parameters[one]
        record.fields["modifiedAt"] = now()
        return {"accessEntry": self._entry(record)}

    @emulates("DeleteAccessEntry", "documented", "API_DeleteAccessEntry")
    def delete_access_entry(self, call: ApiCall) -> Mapping[str, Any]:
        """With its policies."""
        self._entry_of(call)
        del self.state.access[self._access_key(call)]
        return {}

    @emulates("AssociateAccessPolicy", "documented", "API_AssociateAccessPolicy")
    def associate_access_policy(self, call: ApiCall) -> Mapping[str, Any]:
        """One of EKS's own; the same again changes its scope."""
        asked, record = call.parameters, self._entry_of(call)
        if asked["policyArn"].rpartition("/")[2] not in eks_catalogue.POLICIES:
            text = "The policyArn parameter format is not valid"
            raise ApiError("InvalidParameterException", text)
        policy = {
            "policyArn": asked["policyArn"],
            "accessScope": {"namespaces": [], **asked["accessScope"]},
            "associatedAt": now(),
            "modifiedAt": now(),
        }
        record.fields["policies"][asked["policyArn"]] = policy
        return {
            "clusterName": asked["clusterName"],
            "principalArn": asked["principalArn"],
            "associatedAccessPolicy": policy,
        }

    @emulates("ListAssociatedAccessPolicies", "documented", "API_ListAssociatedAccessPolicies")
    def list_associated_access_policies(self, call: ApiCall) -> Mapping[str, Any]:
        """All of the entry in one page."""
        asked = call.parameters
        policies = list(self._entry_of(call).fields["policies"].values())
        return {
            "clusterName": asked["clusterName"],
            "principalArn": asked["principalArn"],
            "associatedAccessPolicies": policies,
        }

    @emulates("DisassociateAccessPolicy", "documented", "API_DisassociateAccessPolicy")
    def disassociate_access_policy(self, call: ApiCall) -> Mapping[str, Any]:
        """Refused where it is not associated."""
        record = self._entry_of(call)
        if record.fields["policies"].pop(call.parameters["policyArn"], None) is None:
            text = "No associated access policy was found with the specified policyArn"
            raise ApiError("ResourceNotFoundException", text)
        return {}

    def _access_key(self, call: ApiCall) -> Key:
        return (call.region, call.parameters["clusterName"], call.parameters["principalArn"])

    def _with_entries(self, call: ApiCall) -> Record:
        cluster = self.cluster_of(call, "clusterName")
        if cluster.fields["accessConfig"]["authenticationMode"] == "CONFIG_MAP":
            text = (
                "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to perform this "
                "operation."
            )
            raise ApiError("InvalidRequestException", text)
        return cluster

    def _entry_of(self, call: ApiCall) -> Record:
        self._with_entries(call)
        record = self.state.access.get(self._access_key(call))
        if record is None:
            text = f"The specified principalArn could not be found: {call.parameters['principalArn']}"
            raise ApiError("ResourceNotFoundException", text)
        return record

    def _entry(self, record: Record) -> dict[str, Any]:
        told = {name: value for name, value in record.fields.items() if name != "policies"}
        return {**told, "tags": record.tags}
