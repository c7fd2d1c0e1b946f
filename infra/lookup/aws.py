"""The lookup in AWS: the rows of this package, and the tagging API for what is left of a stack.

Tags that name one resource of one stack prove whose it is. What carries none is found in the thing that it is of, which
the state has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from infra.aws_session import AwsSession, refusals
from infra.lookup import ec2, identity, named
from infra.lookup.arns import goes_with_another, read_arn
from infra.lookup.base import RESOURCE, STACK, PendingCreate, Remnant
from infra.lookup.row import LookupRow
from infra.tags import tag_map

IN_A_CLUSTER, CHARTS = "kubernetes:", "kubernetes:helm.sh/"


def is_applied(type: str) -> bool:  # noqa: A002  (Pulumi's word)
    """Whether it is an object of a cluster that is applied once more, as ClusterLookup has it; a chart is not:
    Helm takes no name twice."""
    return type.startswith(IN_A_CLUSTER) and not type.startswith(CHARTS)


@dataclass
class AwsLookup:
    """Asks the account and region of the session."""

    session: AwsSession
    rows: tuple[LookupRow, ...] = field(default=(*ec2.ROWS, *identity.ROWS, *named.ROWS))

    @cached_property
    def by_type(self) -> Mapping[str, LookupRow]:
        return {row.type: row for row in self.rows}

    def knows(self, type: str) -> bool:  # noqa: A002  (Pulumi's word)
        return type in self.by_type or is_applied(type)

    def find(self, wanted: PendingCreate) -> str | None:
        row = self.by_type.get(wanted.type)
        if row is None or row.find is None:
            return None
        with refusals(f"looking for {wanted.type} {wanted.name}, which an interrupted run may have made"):
            return next((each for each in row.find(self.session, wanted) if each not in wanted.known), None)

    def remnants(self, stack: str) -> tuple[Remnant, ...]:
        """The tagging API tells of things for a while after they are gone, so each is looked up as well. Those in no
        region (an identity provider, a budget) it tells of in one.

        IAM's roles are not in it: those with the stack's name in theirs, as all of ours, are asked for their tags.
        """
        with refusals(f"looking for what carries the tags of {stack}"):
            told = (*self._list_tagged(stack), *self._list_roles(stack))
        return tuple(Remnant(arn, tags.get(RESOURCE, "")) for arn, tags in told if self._is_alive(arn, tags))

    def _list_tagged(self, stack: str) -> Iterator[tuple[str, dict[str, str]]]:
        for region in dict.fromkeys((self.session.region, self.session.global_region)):
            tagging = self.session.client("resourcegroupstaggingapi", region=region)
            pages = tagging.get_paginator("get_resources").paginate(
                TagFilters=[{"Key": STACK, "Values": [stack]}]
            )
            for page in pages:
                for each in page["ResourceTagMappingList"]:
                    yield each["ResourceARN"], tag_map(each["Tags"])

    def _list_roles(self, stack: str) -> Iterator[tuple[str, dict[str, str]]]:
        iam, stem = self.session.client("iam"), stack.rpartition("/")[2]
        for page in iam.get_paginator("list_roles").paginate():
            for role in page["Roles"]:
                if stem not in role["RoleName"]:
                    continue
                tags = tag_map(iam.list_role_tags(RoleName=role["RoleName"])["Tags"])
                if tags.get(STACK) == stack:
                    yield role["Arn"], tags

    def _is_alive(self, arn: str, tags: Mapping[str, str]) -> bool:
        """What no row knows counts as alive: better told once too often."""
        read = read_arn(arn)
        if read is None:
            return not goes_with_another(arn)
        type, inputs = read  # noqa: A001
        row = self.by_type[type]
        if row.find is None:
            return False
        with refusals(f"looking at {arn}"):
            found = row.find(
                self.session, PendingCreate(type, tags.get(RESOURCE, ""), {**inputs, "tags": tags})
            )
            return any(all(part in arn for part in each.split(":")) for each in found)
