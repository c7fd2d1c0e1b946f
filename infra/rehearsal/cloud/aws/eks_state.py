"""What the emulated EKS keeps, and its checks against the account's network, roles and instance types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.rehearsal.cloud.addresses import ACCOUNT
from infra.rehearsal.cloud.aws.calls import ApiError
from infra.rehearsal.cloud.aws.lifecycle import Record

Key = tuple[str, ...]
"""Region and cluster; for a node group its name too."""


@dataclass
class EksState:
    """By region and name. `updates` by id, with the key of what they update."""

    clusters: dict[Key, Record] = field(default_factory=dict)
    groups: dict[Key, Record] = field(default_factory=dict)
    updates: dict[str, tuple[Key, Record]] = field(default_factory=dict)

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
