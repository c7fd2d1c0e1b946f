"""Where a platform's parts go: pure functions from what is wanted, what stands and what the account offers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from infra.ground.addresses import EIGHTHS, find_slots
from infra.ground.survey import Offer, Standing
from infra.spec import PlatformSpec
from modelpack.errors import BadInput, Problem

NO_CONTROL_PLANE = frozenset({"use1-az3", "usw1-az2", "cac1-az3"})
"""Zone ids where EKS makes no control plane: https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html"""
KUBERNETES = "1.35"
"""In standard support until March 2027: https://docs.aws.amazon.com/eks/latest/userguide/kubernetes-versions.html"""
EXTENDED = "EXTENDED_SUPPORT"


@dataclass(frozen=True, kw_only=True)
class GroundPlan:
    """`slots`: by zone, for all that have subnets; `nodes`: where nodes go; `control_plane`: the cluster's own zones;
    `nat`: where the way out is; `plain_names`: roles as earlier releases named them, without the region; `counts`:
    nodes wanted of pools whose size now is outside of their range."""

    slots: dict[str, int]
    nodes: tuple[str, ...]
    control_plane: tuple[str, ...]
    nat: str
    form: int = EIGHTHS
    kubernetes_version: str = KUBERNETES
    support: str = "STANDARD"
    plain_names: bool = False
    addons: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def lay_out(wanted: PlatformSpec, region: str, offer: Offer, standing: Standing) -> GroundPlan:
    """The layout that follows.

    Raises:
        BadInput: what AWS would refuse: another address range, a zone that the account or EKS has not, a Kubernetes
            version that cannot follow the one that runs.
    """
    refuse_another_range(wanted, standing)
    cluster = standing.cluster if wanted.gpu_pools else None
    chosen = choose_zones(wanted, region, offer, standing)
    control_plane = cluster.zones if cluster and cluster.zones else chosen
    all_zones = tuple(sorted({*chosen, *control_plane}))
    form, found = find_slots(all_zones, wanted.cidr, standing.blocks)
    layout = GroundPlan(
        form=form,
        slots=found,
        nodes=chosen,
        control_plane=control_plane,
        nat=standing.nat if standing.nat in found else all_zones[0],
        plain_names=cluster is not None and f"-{region}-" not in cluster.role,
        notes=tuple(remarks(chosen, control_plane)),
    )
    return follow_version(layout, wanted, offer, cluster.version if cluster else "")


def refuse_another_range(wanted: PlatformSpec, standing: Standing) -> None:
    if standing.cidr and standing.cidr != wanted.cidr:
        raise BadInput(
            f"platform.cidr: the network that stands has {standing.cidr}, and a VPC's range cannot change",
            hint=f"write cidr: {standing.cidr}, or take the platform down first: ecomdeploy platform down",
        )


def choose_zones(wanted: PlatformSpec, region: str, offer: Offer, standing: Standing) -> tuple[str, ...]:
    """Names of the zones for nodes, sorted: those given by name or id, else those that stand, else the account's first
    two where EKS makes a control plane."""
    names = {zone.id: zone.name for zone in offer.zones}
    ids = {zone.name: zone.id for zone in offer.zones}
    usable = [zone.name for zone in offer.zones if zone.id not in NO_CONTROL_PLANE]
    if not wanted.zones:
        first = tuple(usable[:2]) or (f"{region}a", f"{region}b")
        return tuple(sorted(standing.blocks)) or first
    chosen = tuple(sorted({names.get(zone, zone) for zone in wanted.zones}))
    problems = []
    for zone in chosen:
        if ids and zone not in ids:
            hint = f"this account has {', '.join(f'{name} ({ids[name]})' for name in ids)}"
            problems.append(Problem(f"platform.zones: there is no zone {zone} in this account", hint=hint))
        elif wanted.gpu_pools and ids.get(zone) in NO_CONTROL_PLANE:
            hint = f"take two or three of {', '.join(usable)}"
            what = (
                f"platform.zones: EKS makes no control plane in {zone}, which is {ids[zone]} in this account"
            )
            problems.append(Problem(what, hint=hint))
    if problems:
        raise BadInput(tuple(problems))
    return chosen


def remarks(nodes: tuple[str, ...], control_plane: tuple[str, ...]) -> list[str]:
    """What `plan` says of a cluster's zones, which are for ever those that it was made in."""
    said = []
    if left := sorted(set(control_plane) - set(nodes)):
        said.append(
            f"{', '.join(left)} keeps its subnets, without nodes: a cluster's control plane cannot leave the zones "
            f"that it was made in ({', '.join(control_plane)}); only a new cluster can"
        )
    if added := sorted(set(nodes) - set(control_plane)):
        said.append(
            f"{', '.join(added)} is for nodes alone: the control plane stays in {', '.join(control_plane)}, where the "
            "cluster was made"
        )
    return said


def follow_version(layout: GroundPlan, wanted: PlatformSpec, offer: Offer, running: str) -> GroundPlan:
    """With the Kubernetes version: the one given, else the one that runs; one minor version up, never back."""
    version = wanted.kubernetes_version or running or KUBERNETES
    if running and version != running:
        step = minor(version) - minor(running)
        if step < 0:
            raise BadInput(
                f"platform.kubernetes_version: the cluster runs {running}, and is not taken back to {version}",
                hint=f'write kubernetes_version: "{running}" or leave it out; within seven days of an upgrade EKS '
                "itself can (https://docs.aws.amazon.com/eks/latest/userguide/rollback-cluster.html)",
            )
        if step > 1:
            raise BadInput(
                f"platform.kubernetes_version: the cluster runs {running}, and EKS goes up one minor version at a time",
                hint=f'first kubernetes_version: "1.{minor(running) + 1}" and ecomdeploy platform up, then the next',
            )
    if offer.versions and version not in offer.versions:
        offered = ", ".join(sorted(offer.versions, key=minor))
        raise BadInput(f"platform.kubernetes_version: EKS has no {version}", hint=f"it has {offered}")
    if offer.versions.get(version) != EXTENDED:
        return replace(layout, kubernetes_version=version)
    note = f"Kubernetes {version} is in EKS's extended support, which costs more; {KUBERNETES} is in standard support"
    return replace(layout, kubernetes_version=version, support="EXTENDED", notes=(*layout.notes, note))


def minor(version: str) -> int:
    return int(version.partition(".")[2] or 0)


def clamp_counts(sizes: Mapping[str, tuple[int, int, int]]) -> dict[str, int]:
    """Sizes to declare: of pools (nodes wanted now, least, most) that are out of their range; the others keep what
    whoever scales them made of it."""
    return {
        name: min(max(now, low), high) for name, (now, low, high) in sizes.items() if not low <= now <= high
    }
