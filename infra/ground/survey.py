"""What an account says before a platform is planned: zones by id, what stands already, versions. Reading calls only."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from infra.aws_session import AwsSession, error_code, refusals
from infra.ground.residents import Resident, find_lacks, find_residents
from infra.hosting import ServingNetwork

STACK = "ecomdeploy:stack"
RESOURCE = "ecomdeploy:resource"


@dataclass(frozen=True)
class AvailabilityZone:
    """`name` is the account's own ("us-east-1a"); `id` is the same place in every account ("use1-az6")."""

    name: str
    id: str


@dataclass(frozen=True, kw_only=True)
class StandingCluster:
    """A cluster that is there. `zones`: those of its control plane; `counts`: nodes wanted, by node group."""

    version: str
    role: str
    zones: tuple[str, ...]
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What there is of a platform. `blocks`: the private subnets' addresses by zone; `nat`: the main way out's zone;
    `nats`: all zones that have one."""

    blocks: Mapping[str, str] = field(default_factory=dict)
    cidr: str = ""
    nat: str = ""
    nats: frozenset[str] = frozenset()
    cluster: StandingCluster | None = None


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What the account offers. `versions`: Kubernetes versions with their support ("STANDARD_SUPPORT")."""

    zones: tuple[AvailabilityZone, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


class Survey(Protocol):
    def offer(self) -> Offer:
        """Zones and versions of the region. Raises CloudRefused, EcomdeployError."""
        ...

    def standing(self, stack: str, cluster: str) -> Standing:
        """What carries the tags of `stack` ("<Pulumi project>/<stack>"), and the cluster. Raises as `offer`."""
        ...

    def addons(self, version: str, names: Collection[str]) -> Mapping[str, str]:
        """The default version of each add-on for a Kubernetes version; one that is not offered is left out."""
        ...

    def residents(self, network: ServingNetwork) -> tuple[Resident, ...]:
        """Services of ours whose Models are placed there. Raises as `offer`."""
        ...

    def lacks(self, network: ServingNetwork) -> tuple[str, ...]:
        """What of it is not there, or not of one VPC, in words. Raises as `offer`."""
        ...


@dataclass
class AwsSurvey:
    """Asks the account and region of the session."""

    session: AwsSession

    def offer(self) -> Offer:
        with refusals("asking for the account's zones and EKS's versions"):
            answer = self.session.client("ec2").describe_availability_zones(
                Filters=[{"Name": "zone-type", "Values": ["availability-zone"]}]
            )
            zones = tuple(
                sorted(
                    (
                        AvailabilityZone(each["ZoneName"], each["ZoneId"])
                        for each in answer["AvailabilityZones"]
                        if each.get("State", "available") == "available"
                    ),
                    key=lambda zone: zone.name,
                )
            )
            told = self.session.client("eks").describe_cluster_versions()["clusterVersions"]
        return Offer(zones=zones, versions={each["clusterVersion"]: each["versionStatus"] for each in told})

    def standing(self, stack: str, cluster: str) -> Standing:
        ec2 = self.session.client("ec2")
        tagged = [{"Name": f"tag:{STACK}", "Values": [stack]}]
        with refusals(f"looking at what there is of {stack}"):
            vpcs = ec2.describe_vpcs(Filters=tagged)["Vpcs"]
            subnets = ec2.describe_subnets(Filters=tagged)["Subnets"]
            gateways = ec2.describe_nat_gateways(Filters=tagged)["NatGateways"]
            found = self._cluster(cluster)
        zones = {each["SubnetId"]: each["AvailabilityZone"] for each in subnets}
        private = [each for each in subnets if "-private-" in resource_of(each)]
        ways = [each for each in gateways if each["State"] in ("pending", "available")]
        main = [each for each in ways if each["State"] == "available" and resource_of(each).endswith("-nat")]
        return Standing(
            blocks={each["AvailabilityZone"]: each["CidrBlock"] for each in private},
            cidr=vpcs[0]["CidrBlock"] if vpcs else "",
            nat=zones.get(main[0]["SubnetId"], "") if main else "",
            nats=frozenset(zones.get(each["SubnetId"], "") for each in ways),
            cluster=found,
        )

    def _cluster(self, name: str) -> StandingCluster | None:
        from botocore.exceptions import ClientError

        eks = self.session.client("eks")
        try:
            found = eks.describe_cluster(name=name)["cluster"]
        except ClientError as error:
            if error_code(error) == "ResourceNotFoundException":
                return None
            raise
        subnets = self.session.client("ec2").describe_subnets(
            Filters=[{"Name": "subnet-id", "Values": found["resourcesVpcConfig"]["subnetIds"]}]
        )
        return StandingCluster(
            version=found["version"],
            role=found["roleArn"].rpartition("/")[2],
            zones=tuple(sorted({each["AvailabilityZone"] for each in subnets["Subnets"]})),
            counts=dict(self._counts(name)),
        )

    def _counts(self, cluster: str) -> Iterator[tuple[str, int]]:
        eks = self.session.client("eks")
        for page in eks.get_paginator("list_nodegroups").paginate(clusterName=cluster):
            for name in page["nodegroups"]:
                found = eks.describe_nodegroup(clusterName=cluster, nodegroupName=name)["nodegroup"]
                yield name, int(found["scalingConfig"]["desiredSize"])

    def addons(self, version: str, names: Collection[str]) -> Mapping[str, str]:
        eks = self.session.client("eks")

        def ask(name: str) -> tuple[str, str]:
            answer = eks.describe_addon_versions(kubernetesVersion=version, addonName=name)["addons"]
            fitting = [
                each["addonVersion"]
                for addon in answer
                for each in addon["addonVersions"]
                for one in each["compatibilities"]
                if one["clusterVersion"] == version and one["defaultVersion"]
            ]
            return name, fitting[0] if fitting else ""

        with refusals(f"asking for the add-ons of Kubernetes {version}"), ThreadPoolExecutor(4) as pool:
            return {name: found for name, found in pool.map(ask, sorted(names)) if found}

    def residents(self, network: ServingNetwork) -> tuple[Resident, ...]:
        return find_residents(self.session, network)

    def lacks(self, network: ServingNetwork) -> tuple[str, ...]:
        return find_lacks(self.session, network)


def resource_of(thing: Mapping[str, Any]) -> str:
    """The Pulumi name in a thing's tags."""
    return next((each["Value"] for each in thing.get("Tags", ()) if each["Key"] == RESOURCE), "")


@dataclass
class FakeSurvey:
    """The fake: what it was given."""

    offered: Offer = field(default_factory=Offer)
    stands: Standing = field(default_factory=Standing)
    versions: Mapping[str, str] = field(default_factory=dict)
    living: tuple[Resident, ...] = ()
    missing: tuple[str, ...] = ()
    """Ids that are there no more."""

    def offer(self) -> Offer:
        return self.offered

    def residents(self, network: ServingNetwork) -> tuple[Resident, ...]:
        return self.living

    def lacks(self, network: ServingNetwork) -> tuple[str, ...]:
        named = (*network.subnets, *network.security_groups)
        return tuple(f"there is no {one}" for one in self.missing if one in named)

    def standing(self, stack: str, cluster: str) -> Standing:
        return self.stands

    def addons(self, version: str, names: Collection[str]) -> Mapping[str, str]:
        return {name: found for name, found in self.versions.items() if name in names}
