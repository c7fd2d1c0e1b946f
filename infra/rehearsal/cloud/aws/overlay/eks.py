"""EKS clusters and managed node groups: their states, updates and refusals.

One cluster can be the local Kubernetes, its groups' nodes in it (eks_nodes/); the others are records.

Add-ons and access entries are in eks_parts.py, the roles of pods in eks_access/; Fargate is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from infra.rehearsal.cloud.aws import eks_shapes, eks_state
from infra.rehearsal.cloud.aws.eks_catalogue import LATEST
from infra.rehearsal.cloud.aws.eks_nodes.callers import caller_of
from infra.rehearsal.cloud.aws.eks_nodes.keeper import NodeGroups
from infra.rehearsal.cloud.aws.eks_parts import EksParts
from infra.rehearsal.cloud.aws.eks_state import EksState, Key
from infra.rehearsal.cloud.aws.lifecycle import GONE, Record
from infra.rehearsal.cloud.aws.overlay.base import ApiCall, ApiError, emulates, now

if TYPE_CHECKING:
    from infra.rehearsal.cloud.aws.overlay.base import Surroundings

CREATING_SECONDS, UPDATING_SECONDS, DELETING_SECONDS = 1.0, 0.5, 0.5
"""AWS: 10 minutes for a cluster, 2 to 5 for a node group."""
VERSION = re.compile(r"1\.(2[89]|3[0-9])")


class Eks(EksParts):
    """State in `account.state["eks"]`."""

    def __init__(self, account: Surroundings) -> None:
        super().__init__(account)
        self.state: EksState = account.state.setdefault("eks", EksState())
        ground = account.clusters
        self._nodes = NodeGroups(account, self.state, ground) if ground else None

    def restore(self) -> None:
        """What was a cluster's Kubernetes still is."""
        if self._nodes:
            self._nodes.wake()

    def close(self) -> None:
        if self._nodes:
            self._nodes.stop()

    def look_again(self) -> None:
        if self._nodes:
            self._nodes.wake()

    def status(self) -> dict[str, Any]:
        """Which cluster has nodes, or why none has."""
        live = [key[1] for key, one in self.state.clusters.items() if not one.gone]
        if not live:
            return {}
        held = self.state.held
        why = self._nodes.why_not() if self._nodes else ""
        return {"eks": {"kubernetes": held[1] if held else None, "reason": "" if held else why}}

    # ---- clusters ----

    @emulates("CreateCluster", "documented", "API_CreateCluster")
    def create_cluster(self, call: ApiCall) -> Mapping[str, Any]:
        """CREATING, then ACTIVE; makes the cluster's security group in the subnets' VPC."""
        asked = call.parameters
        name, key = asked["name"], (call.region, asked["name"])
        if self.get(self.state.clusters, key):
            raise ApiError("ResourceInUseException", f"Cluster already exists with name: {name}")
        version = asked.get("version", LATEST)
        if not VERSION.fullmatch(version):
            raise ApiError("InvalidParameterException", f"unsupported Kubernetes version {version}")
        eks_state.check_role(asked["roleArn"])
        fields = {**eks_shapes.defaults(call, name, version), **eks_shapes.fill_defaults(asked)}
        fields["resourcesVpcConfig"] = eks_state.network_of(call, name)
        record = Record(fields=fields, tags=dict(asked.get("tags", {})))
        record.become("CREATING", "ACTIVE", CREATING_SECONDS)
        self.state.clusters[key] = record
        if asked.get("accessConfig", {}).get("bootstrapClusterCreatorAdminPermissions", True):
            self.state.creators[key] = caller_of(call.environ, call.region)
        if self._nodes:
            self._nodes.take(key, record)
        return {"cluster": self._describe(key, record)}

    @emulates("DescribeCluster", "documented", "API_DescribeCluster")
    def describe_cluster(self, call: ApiCall) -> Mapping[str, Any]:
        """With vpcId and clusterSecurityGroupId; once ACTIVE an endpoint, the local Kubernetes' or nobody's."""
        record = self.cluster_of(call, "name")
        return {"cluster": self._describe((call.region, call.parameters["name"]), record)}

    def _describe(self, key: Key, record: Record) -> dict[str, Any]:
        told = eks_shapes.cluster(record)
        ground = self.account.clusters
        if ground and self._nodes and self._nodes.holds(key) and "endpoint" in told:
            with suppress(FileNotFoundError):
                found = ground.endpoint()
                told |= {"endpoint": found.address, "certificateAuthority": {"data": found.authority}}
        return told

    @emulates("ListClusters", "documented", "API_ListClusters")
    def list_clusters(self, call: ApiCall) -> Mapping[str, Any]:
        """All of the region in one page."""
        held = (key for key in tuple(self.state.clusters) if key[0] == call.region)
        return {"clusters": [key[1] for key in held if self.get(self.state.clusters, key)]}

    @emulates("DeleteCluster", "documented", "API_DeleteCluster")
    def delete_cluster(self, call: ApiCall) -> Mapping[str, Any]:
        """DELETING, then gone with its security group; refused while it has node groups."""
        record = self.cluster_of(call, "name")
        if self._groups(call, "name"):
            raise ApiError("ResourceInUseException", "Cluster has nodegroups attached")
        if record.status != "DELETING":
            self._wait_for((call.region, call.parameters["name"]), record, "DELETING", GONE, DELETING_SECONDS)
            group = record.fields["resourcesVpcConfig"]["clusterSecurityGroupId"]
            eks_state.ec2(call.region).delete_security_group(group_id=group)
            for store in (self.state.addons, self.state.access, self.state.identities):
                for key in self._keys(store, call, "name"):
                    del store[key]
        return {"cluster": eks_shapes.cluster(record)}

    @emulates("UpdateClusterConfig", "documented", "API_UpdateClusterConfig")
    def update_cluster_config(self, call: ApiCall) -> Mapping[str, Any]:
        """Endpoint access, subnets, logging, access and upgrade policy; one kind of change at a time in AWS."""
        record = self.active(self.cluster_of(call, "name"), "Cluster")
        asked = call.parameters
        network = asked.get("resourcesVpcConfig", {})
        there = record.fields["resourcesVpcConfig"]
        if network.get("subnetIds"):
            eks_state.check_same_zones(call.region, there["subnetIds"], network["subnetIds"])
        eks_state.check_endpoint({**there, **network})
        there |= network
        if logging := asked.get("logging"):
            record.fields["logging"] = eks_shapes.logging(record.fields["logging"], logging)
        for part in ("accessConfig", "upgradePolicy"):
            record.fields[part] = {**record.fields[part], **asked.get(part, {})}
        kind = "LoggingUpdate" if "logging" in asked else "EndpointAccessUpdate"
        if "upgradePolicy" in asked:
            kind = "UpgradePolicyUpdate"
        return self.start_update((call.region, asked["name"]), record, kind, asked)

    @emulates("UpdateClusterVersion", "documented", "API_UpdateClusterVersion")
    def update_cluster_version(self, call: ApiCall) -> Mapping[str, Any]:
        """One minor version up at a time, once all node groups are at the cluster's. Rolling back is not here."""
        record = self.active(self.cluster_of(call, "name"), "Cluster")
        old, new = record.fields["version"], call.parameters["version"]
        if not VERSION.fullmatch(new) or int(new[2:]) - int(old[2:]) not in (0, 1):
            text = f"Unsupported Kubernetes minor version update from {old} to {new}"
            raise ApiError("InvalidParameterException", text)
        scope = (call.region, call.parameters["name"])
        groups = [
            (key[2], one.fields["version"])
            for key, one in self.state.groups.items()
            if key[:2] == scope and not one.gone
        ]
        eks_state.check_nodes_follow(groups, old)
        record.fields["version"] = new
        key = (call.region, call.parameters["name"])
        return self.start_update(key, record, "VersionUpdate", {"Version": new})

    @emulates("AssociateEncryptionConfig", "documented", "API_AssociateEncryptionConfig")
    def associate_encryption_config(self, call: ApiCall) -> Mapping[str, Any]:
        """Once; it cannot be taken away."""
        record = self.active(self.cluster_of(call, "clusterName"), "Cluster")
        if record.fields.get("encryptionConfig"):
            raise ApiError("ResourceInUseException", "Cluster already has an encryption config")
        record.fields["encryptionConfig"] = call.parameters["encryptionConfig"]
        key = (call.region, call.parameters["clusterName"])
        return self.start_update(key, record, "AssociateEncryptionConfig", {})

    # ---- node groups ----

    @emulates("CreateNodegroup", "documented", "API_CreateNodegroup")
    def create_nodegroup(self, call: ApiCall) -> Mapping[str, Any]:
        """CREATING, then ACTIVE. Unknown instance types, subnets, roles and launch templates are refused."""
        asked = call.parameters
        cluster = self.active(self.cluster_of(call, "clusterName"), "Cluster")
        name, key = asked["nodegroupName"], (call.region, asked["clusterName"], asked["nodegroupName"])
        if self.get(self.state.groups, key):
            text = f"NodeGroup already exists with name {name} and cluster name {key[1]}"
            raise ApiError("ResourceInUseException", text)
        eks_state.subnets(call.region, asked["subnets"])
        eks_state.check_role(asked["nodeRole"])
        eks_state.check_instances(asked.get("instanceTypes", ()))
        eks_state.check_node_version(
            asked.get("version", cluster.fields["version"]), cluster.fields["version"]
        )
        record = Record(fields=eks_shapes.group_fields(call, cluster), tags=dict(asked.get("tags", {})))
        self._wait_for(key, record, "CREATING", "ACTIVE", CREATING_SECONDS)
        self.state.groups[key] = record
        return {"nodegroup": eks_shapes.group(record)}

    @emulates("DescribeNodegroup", "documented", "API_DescribeNodegroup")
    def describe_nodegroup(self, call: ApiCall) -> Mapping[str, Any]:
        """Its Auto Scaling group has a name, and that is all there is of it."""
        return {"nodegroup": eks_shapes.group(self._group_of(call))}

    @emulates("ListNodegroups", "documented", "API_ListNodegroups")
    def list_nodegroups(self, call: ApiCall) -> Mapping[str, Any]:
        """All of the cluster in one page."""
        self.cluster_of(call, "clusterName")
        return {"nodegroups": self._groups(call, "clusterName")}

    @emulates("UpdateNodegroupConfig", "documented", "API_UpdateNodegroupConfig")
    def update_nodegroup_config(self, call: ApiCall) -> Mapping[str, Any]:
        """Sizes, labels, taints and the pace of updates."""
        record = self.active(self._group_of(call), "Nodegroup")
        asked, fields = call.parameters, record.fields
        if scaling := asked.get("scalingConfig"):
            fields["scalingConfig"] = eks_state.check_scaling({**fields["scalingConfig"], **scaling})
        labels = asked.get("labels", {})
        fields["labels"] |= labels.get("addOrUpdateLabels", {})
        for name in labels.get("removeLabels", ()):
            fields["labels"].pop(name, None)
        taints = {(taint["key"], taint["effect"]): taint for taint in fields["taints"]}
        for taint in asked.get("taints", {}).get("removeTaints", ()):
            taints.pop((taint["key"], taint["effect"]), None)
        added = asked.get("taints", {}).get("addOrUpdateTaints", ())
        taints |= {(taint["key"], taint["effect"]): taint for taint in added}
        fields["taints"] = list(taints.values())
        if pace := asked.get("updateConfig"):
            fields["updateConfig"] = pace
        fields["modifiedAt"] = now()
        return self.start_update(self._group_key(call), record, "ConfigUpdate", scaling or {})

    @emulates("UpdateNodegroupVersion", "documented", "API_UpdateNodegroupVersion")
    def update_nodegroup_version(self, call: ApiCall) -> Mapping[str, Any]:
        """Another Kubernetes version, or another version of the same launch template."""
        record = self.active(self._group_of(call), "Nodegroup")
        asked, fields = call.parameters, record.fields
        if template := asked.get("launchTemplate"):
            found = eks_state.check_template(call.region, template)
            if found["id"] != fields.get("launchTemplate", {}).get("id"):
                raise ApiError(
                    "InvalidParameterException", "The launch template of a node group cannot be changed"
                )
            fields["launchTemplate"] = found
        if version := asked.get("version"):
            eks_state.check_node_version(version, self.cluster_of(call, "clusterName").fields["version"])
            fields["version"] = version
            fields["releaseVersion"] = f"{version}.0-20261101"
        fields["modifiedAt"] = now()
        return self.start_update(
            self._group_key(call), record, "VersionUpdate", {"Version": fields["version"]}
        )

    @emulates("DeleteNodegroup", "documented", "API_DeleteNodegroup")
    def delete_nodegroup(self, call: ApiCall) -> Mapping[str, Any]:
        """DELETING, then gone."""
        record = self._group_of(call)
        if record.status != "DELETING":
            self._wait_for(self._group_key(call), record, "DELETING", GONE, DELETING_SECONDS)
        return {"nodegroup": eks_shapes.group(record)}

    # ---- updates and tags ----

    @emulates("DescribeUpdate", "documented", "API_DescribeUpdate")
    def describe_update(self, call: ApiCall) -> Mapping[str, Any]:
        """InProgress while the resource is UPDATING, then Successful."""
        asked = call.parameters
        key, record = self.state.updates.get(asked["updateId"], ((), None))
        part = asked.get("nodegroupName") or asked.get("addonName")
        wanted = (call.region, asked["name"], *filter(None, [part]))
        if record is None or key != wanted:
            raise ApiError("ResourceNotFoundException", f"No update found for id: {asked['updateId']}")
        return {"update": {**record.fields, "status": record.status}}

    @emulates("TagResource", "documented", "API_TagResource")
    def tag_resource(self, call: ApiCall) -> Mapping[str, Any]:
        """Clusters, node groups, add-ons, access entries and pod identity associations."""
        eks_state.find_by_arn(self.state, call.parameters["resourceArn"]).tags.update(call.parameters["tags"])
        return {}

    @emulates("UntagResource", "documented", "API_UntagResource")
    def untag_resource(self, call: ApiCall) -> Mapping[str, Any]:
        """The same."""
        for name in call.parameters["tagKeys"]:
            eks_state.find_by_arn(self.state, call.parameters["resourceArn"]).tags.pop(name, None)
        return {}

    @emulates("ListTagsForResource", "documented", "API_ListTagsForResource")
    def list_tags_for_resource(self, call: ApiCall) -> Mapping[str, Any]:
        """The same."""
        return {"tags": eks_state.find_by_arn(self.state, call.parameters["resourceArn"]).tags}

    # ---- parts ----

    def _wait_for(self, key: Key, record: Record, state: str, then: str, seconds: float) -> None:
        """A state that lasts until nodes are so, where there are any; else so long."""
        if self._nodes is None or not self._nodes.wait_for(key, record, state, then):
            record.become(state, then, seconds)

    def cluster_of(self, call: ApiCall, parameter: str) -> Record:
        name = call.parameters[parameter]
        record = self.get(self.state.clusters, (call.region, name))
        if record is None:
            raise ApiError("ResourceNotFoundException", f"No cluster found for name: {name}.")
        return record

    def _group_key(self, call: ApiCall) -> Key:
        return (call.region, call.parameters["clusterName"], call.parameters["nodegroupName"])

    def _group_of(self, call: ApiCall) -> Record:
        self.cluster_of(call, "clusterName")
        key = self._group_key(call)
        record = self.get(self.state.groups, key)
        if record is None:
            raise ApiError("ResourceNotFoundException", f"No node group found for name: {key[2]}.")
        return record

    def _groups(self, call: ApiCall, parameter: str) -> list[str]:
        scope = (call.region, call.parameters[parameter])
        held = [key for key in tuple(self.state.groups) if key[:2] == scope]
        return [key[2] for key in held if self.get(self.state.groups, key)]

    def active(self, record: Record, kind: str) -> Record:
        if record.status != "ACTIVE":
            text = f"{kind} cannot be updated as it is currently not in Active State ({record.status})"
            raise ApiError("ResourceInUseException", text)
        return record

    def start_update(
        self, key: Key, record: Record, kind: str, changed: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        record.become("UPDATING", "ACTIVE", UPDATING_SECONDS)
        if self._nodes and self._nodes.holds(key):
            self._nodes.wake()
        parameters = [
            {"type": eks_shapes.upper(name), "value": str(value)} for name, value in changed.items()
        ]
        known = [
            item for item in parameters if item["type"] in ("MinSize", "MaxSize", "DesiredSize", "Version")
        ]
        name = str(uuid4())
        fields = {"id": name, "type": kind, "params": known, "createdAt": now(), "errors": []}
        update = Record(fields=fields)
        update.become("InProgress", "Successful", UPDATING_SECONDS)
        self.state.updates[name] = (key, update)
        return {"update": {**fields, "status": update.status}}
