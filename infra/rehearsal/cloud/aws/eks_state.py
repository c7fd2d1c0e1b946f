"""What the emulated EKS keeps, and its checks against the account's network, roles and instance types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any
from uuid import uuid4

from infra.rehearsal.cloud.addresses import ACCOUNT
from infra.rehearsal.cloud.aws.calls import ApiCall, ApiError
from infra.rehearsal.cloud.aws.lifecycle import Record

Key = tuple[str, ...]
"""Region and cluster; for a node group its name too."""


ADDONS_NAMESPACE = "kube-system"


@dataclass
class EksState:
    """By region and name. `updates` by id, with the key of what they update."""

    clusters: dict[Key, Record] = field(default_factory=dict)
    groups: dict[Key, Record] = field(default_factory=dict)
    updates: dict[str, tuple[Key, Record]] = field(default_factory=dict)
    addons: dict[Key, Record] = field(default_factory=dict)
    access: dict[Key, Record] = field(default_factory=dict)
    """By region, cluster and principal; a record's fields have the associated policies beside the entry."""
    identities: dict[Key, Record] = field(default_factory=dict)
    """Pod identity associations by region, cluster and id."""
    held: Key | None = None
    """Region and name of the cluster that is the local Kubernetes."""
    began: bool = False
    """Whether that was started for it, and ends with it."""
    creators: dict[Key, str] = field(default_factory=dict)
    """Who made each cluster, by ARN: its administrator without an access entry."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A snapshot of an earlier version has no add-ons."""
        self.__dict__.update({**vars(EksState()), **state})

    def subnets_in_use(self) -> Iterator[str]:
        """Where clusters and node groups have network interfaces."""
        for record in self.clusters.values():
            if not record.gone:
                yield from record.fields["resourcesVpcConfig"]["subnetIds"]
        for record in self.groups.values():
            if not record.gone:
                yield from record.fields["subnets"]


def ec2(region: str) -> Any:
    """moto's EC2 of a region."""
    from moto.ec2.models import ec2_backends

    return ec2_backends[ACCOUNT][region]


def subnets(region: str, ids: Iterable[str]) -> list[Any]:
    """moto's subnets. Raises ApiError naming the first that is not there."""
    known = {name: subnet for zone in ec2(region).subnets.values() for name, subnet in zone.items()}
    for name in ids:
        if name not in known:
            raise ApiError("InvalidParameterException", f"The subnet ID '{name}' does not exist")
    return [known[name] for name in ids]


def check_role(arn: str) -> None:
    """Raises ApiError when IAM has no such role."""
    from moto.iam.models import iam_backends

    roles = iam_backends[ACCOUNT]["aws"].roles.values()
    if not any(role.arn == arn for role in roles):
        name = arn.rpartition("/")[2]
        raise ApiError("InvalidParameterException", f"The role with name {name} cannot be found.")


def check_instances(names: Iterable[str]) -> None:
    """Raises ApiError naming the types that EC2 does not have."""
    from moto.ec2.models.instance_types import INSTANCE_TYPES

    if unknown := [name for name in names if name not in INSTANCE_TYPES]:
        text = f"The following supplied instance types do not exist: [{', '.join(unknown)}]"
        raise ApiError("InvalidParameterException", text)


def check_template(region: str, asked: Mapping[str, Any]) -> dict[str, str]:
    """The launch template asked for by id or name, as EKS tells it: id, name and version."""
    templates = ec2(region).launch_templates
    template = templates.get(asked.get("id", "")) or next(
        (found for found in templates.values() if found.name == asked.get("name")), None
    )
    if template is None:
        wanted = asked.get("id") or asked.get("name")
        raise ApiError(
            "InvalidParameterException", f"The specified launch template, {wanted}, does not exist."
        )
    version = str(asked.get("version") or template.default_version_number)
    if version not in {str(held.number) for held in template.versions}:
        raise ApiError("InvalidParameterException", f"Launch template version {version} does not exist.")
    return {"id": template.id, "name": template.name, "version": version}


def check_scaling(scaling: Mapping[str, int]) -> dict[str, int]:
    """Sizes in order; AWS's default is two nodes."""
    sizes = {"minSize": 1, "maxSize": 2, "desiredSize": 2, **scaling}
    least, wanted, most = sizes["minSize"], sizes["desiredSize"], sizes["maxSize"]
    if least > wanted:
        text = f"Minimum capacity {least} can't be greater than desired size {wanted}"
        raise ApiError("InvalidParameterException", text)
    if wanted > most:
        text = f"desired capacity {wanted} can't be greater than max size {most}"
        raise ApiError("InvalidParameterException", text)
    return sizes


NO_CONTROL_PLANE = frozenset({"use1-az3", "usw1-az2", "cac1-az3"})
"""https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html"""
PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")


def check_zones(region: str, cluster: str, found: Iterable[Any]) -> None:
    """Raises ApiError for subnets where EKS makes no control plane, or in one zone only."""
    ids = {zone.name: zone.zone_id for zone in ec2(region).describe_availability_zones()}
    zones = {subnet.availability_zone for subnet in found}
    if wrong := sorted(zone for zone in zones if ids.get(zone) in NO_CONTROL_PLANE):
        usable = ", ".join(zone for zone, id in ids.items() if id not in NO_CONTROL_PLANE)  # noqa: A001
        text = (
            f"Cannot create cluster '{cluster}' because EKS does not support creating control plane instances in "
            f"{wrong[0]}, the targeted availability zone. Retry cluster creation using control plane subnets that span "
            f"at least two of these availability zones: {usable}. Note, post cluster creation, you can run worker "
            "nodes in separate subnets/availability zones from control plane subnets/availability zones passed during "
            "cluster creation"
        )
        raise ApiError("UnsupportedAvailabilityZoneException", text)
    if len(zones) < 2:
        raise ApiError("InvalidParameterException", "Subnets specified must be in at least two different AZs")


def check_same_zones(region: str, old: Iterable[str], new: Iterable[str]) -> None:
    """Raises ApiError unless the new subnets are in the very zones that the cluster was made in."""
    first, then = (sorted({one.availability_zone for one in subnets(region, ids)}) for ids in (old, new))
    if first != then:
        text = (
            f"Provided subnets belong to the AZs '{','.join(then)}'. But they should belong to the exact set of AZs "
            f"'{','.join(first)}' in which subnets were provided during cluster creation."
        )
        raise ApiError("InvalidParameterException", text)


def check_endpoint(network: Mapping[str, Any]) -> None:
    """Raises ApiError where nobody could reach the cluster, or the public side is opened to private addresses."""
    if not network["endpointPublicAccess"] and not network["endpointPrivateAccess"]:
        raise ApiError("InvalidParameterException", "Private and public endpoint access cannot be false")
    ranges = [IPv4Network(one) for one in PRIVATE]
    for cidr in network.get("publicAccessCidrs", ()):
        if any(IPv4Network(cidr).subnet_of(one) for one in ranges):
            text = f"The following CIDRs are not allowed in publicAccessCidrs: [{cidr}]"
            raise ApiError("InvalidParameterException", text)


def check_nodes_follow(names: Iterable[tuple[str, str]], version: str) -> None:
    """Raises ApiError for node groups (name and version) that are behind the cluster."""
    if behind := [name for name, of in names if of != version]:
        text = (
            f"Nodegroups {', '.join(behind)} must be updated to match cluster version {version} before updating "
            "cluster version"
        )
        raise ApiError("InvalidParameterException", text)


def check_node_version(version: str, cluster: str) -> None:
    """Raises ApiError for nodes newer than their cluster, or more than one minor version older."""
    if int(cluster[2:]) - int(version[2:]) not in (0, 1):
        text = f"Requested Nodegroup version {version} is not valid for cluster version {cluster}"
        raise ApiError("InvalidParameterException", text)


def find_by_arn(state: EksState, wanted: str) -> Record:
    """A cluster, node group, add-on, access entry or pod identity association. Raises ApiError when there is none."""
    for store, field_name in (
        (state.clusters, "arn"),
        (state.groups, "nodegroupArn"),
        (state.addons, "addonArn"),
        (state.access, "accessEntryArn"),
        (state.identities, "associationArn"),
    ):
        for record in store.values():
            if record.fields[field_name] == wanted and not record.gone:
                return record
    raise ApiError("NotFoundException", f"The specified resource could not be found: {wanted}", 404)


def network_of(call: ApiCall, name: str) -> dict[str, Any]:
    """A new cluster's network, with a security group of its own."""
    asked = call.parameters["resourcesVpcConfig"]
    found = subnets(call.region, asked.get("subnetIds", ()))
    check_zones(call.region, name, found)
    check_endpoint({"endpointPublicAccess": True, "endpointPrivateAccess": False, **asked})
    vpc = found[0].vpc_id
    group = ec2(call.region).create_security_group(
        f"eks-cluster-sg-{name}-{uuid4().int % 10**9}",
        "EKS created security group applied to ENI that is attached to EKS Control Plane master nodes",
        vpc,
        tags={"kubernetes.io/cluster/" + name: "owned", "aws:eks:cluster-name": name},
    )
    return {
        "securityGroupIds": [],
        "endpointPublicAccess": True,
        "endpointPrivateAccess": False,
        "publicAccessCidrs": ["0.0.0.0/0"],
        **asked,
        "clusterSecurityGroupId": group.id,
        "vpcId": vpc,
    }
