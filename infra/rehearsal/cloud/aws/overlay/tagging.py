"""The Resource Groups Tagging API over moto, which does not know all that is emulated here, nor all of EC2.

AWS answers for every resource type that carries tags, but for IAM's users and roles and for Auto Scaling groups
(Resource Groups Tagging API Reference, "Services that support the Resource Groups Tagging API"). It also tells for a
while of what is gone; here a thing goes from the list at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from infra.aws_session import DEFAULT_REGION
from infra.rehearsal.cloud.addresses import ACCOUNT
from infra.rehearsal.cloud.aws.overlay.base import ApiCall, ApiError, Overlay, arn, emulates

if TYPE_CHECKING:
    from infra.rehearsal.cloud.aws.eks_state import EksState
    from infra.rehearsal.cloud.aws.hosting import Hosting

SOURCE = "API_GetResources; supported-services"


class Tagging(Overlay):
    """Reads what the other services keep; keeps none."""

    @emulates("GetResources", "documented", SOURCE)
    def get_resources(self, call: ApiCall) -> Mapping[str, Any]:
        """By tags, types or ARNs, in pages; SageMaker, ECR, EKS, SNS, EventBridge and all of EC2 are told as well."""
        from moto.core.resource_tagging import make_tag_matcher, match_resource_type

        asked = call.parameters
        fits, types = make_tag_matcher(asked.get("TagFilters")), asked.get("ResourceTypeFilters")
        wanted = asked.get("ResourceARNList")
        found = [
            {"ResourceARN": name, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
            for name, tags in sorted(self._list_tags(call.region).items())
            if fits(tags) and match_resource_type(type_of(name), types) and (not wanted or name in wanted)
        ]
        token, size = asked.get("PaginationToken") or "0", int(asked.get("ResourcesPerPage", 50))
        if not 1 <= size <= 100:
            raise ApiError("InvalidParameterException", "ResourcesPerPage must be between 1 and 100")
        if not token.isdecimal():
            raise ApiError("PaginationTokenExpiredException", "Token does not exist")
        end = int(token) + size
        more = str(end) if end < len(found) else ""
        return {"ResourceTagMappingList": found[int(token) : end], "PaginationToken": more}

    @emulates("GetTagKeys", "documented", "API_GetTagKeys")
    def get_tag_keys(self, call: ApiCall) -> Mapping[str, Any]:
        """Of the same resources, in one page."""
        keys = {key for tags in self._list_tags(call.region).values() for key in tags}
        return {"TagKeys": sorted(keys), "PaginationToken": ""}

    @emulates("GetTagValues", "documented", "API_GetTagValues")
    def get_tag_values(self, call: ApiCall) -> Mapping[str, Any]:
        """Of the same resources, in one page."""
        key = call.parameters["Key"]
        values = {tags[key] for tags in self._list_tags(call.region).values() if key in tags}
        return {"TagValues": sorted(values), "PaginationToken": ""}

    def _list_tags(self, region: str) -> dict[str, dict[str, str]]:
        """Tags by ARN, of what has any."""
        from moto.core.resource_tagging import iter_taggable_backends

        known = {
            one.arn: one.tags
            for backend in iter_taggable_backends(ACCOUNT, region)
            for one in backend.iter_tagged_resources()
        }
        ours = (*self._sagemaker(region), *self._eks(region), *ecr(region), *ec2(region), *sns(region))
        ours = (*ours, *events(region))
        if region == DEFAULT_REGION:
            ours = (*ours, *issuers(), *self.account.state.get("budgets", {}).items())
        return {name: tags for name, tags in (known | dict(ours)).items() if tags}

    def _sagemaker(self, region: str) -> Iterator[tuple[str, dict[str, str]]]:
        hosting: Hosting | None = self.account.state.get("sagemaker")
        for name, tags in hosting.tags.items() if hosting else ():
            if name.split(":")[3] == region:
                yield name, tags

    def _eks(self, region: str) -> Iterator[tuple[str, dict[str, str]]]:
        state: EksState | None = self.account.state.get("eks")
        if not state:
            return
        for store, field in (
            (state.clusters, "arn"),
            (state.groups, "nodegroupArn"),
            (state.addons, "addonArn"),
            (state.access, "accessEntryArn"),
            (state.identities, "associationArn"),
        ):
            for key, record in store.items():
                if key[0] == region and not record.gone:
                    yield record.fields[field], record.tags


def ecr(region: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Repositories."""
    from moto.ecr.models import ecr_backends

    backend = find_made(ecr_backends, region)
    for repository in backend.repositories.values() if backend else ():
        yield repository.arn, backend.tagger.get_tag_dict_for_resource(repository.arn)


def ec2(region: str) -> Iterator[tuple[str, dict[str, str]]]:
    """What carries tags and moto does not list."""
    from moto.ec2.models import ec2_backends

    backend = find_made(ec2_backends, region)
    if backend is None:
        return
    kinds = {
        "elastic-ip": [address.allocation_id for address in backend.addresses if address.allocation_id],
        "launch-template": [*backend.launch_templates],
        "vpc-endpoint": [*backend.vpc_end_points],
    }
    for kind, names in kinds.items():
        for name in names:
            yield arn("ec2", region, f"{kind}/{name}"), dict(backend.tags.get(name, {}))


def sns(region: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Topics."""
    from moto.sns.models import sns_backends

    backend = find_made(sns_backends, region)
    for name, topic in backend.topics.items() if backend else ():
        yield name, dict(topic._tags)


def events(region: str) -> Iterator[tuple[str, dict[str, str]]]:
    """EventBridge's rules: of buses moto tells itself."""
    from moto.events.models import events_backends

    backend = find_made(events_backends, region)
    for bus in backend.event_buses.values() if backend else ():
        for rule in bus.rules.values():
            yield rule.arn, backend.tagger.get_tag_dict_for_resource(rule.arn)


def issuers() -> Iterator[tuple[str, dict[str, str]]]:
    """IAM's identity providers: they, and budgets, are in no region, and us-east-1 tells of them."""
    from moto.iam.models import iam_backends

    for name, held in iam_backends[ACCOUNT]["aws"].open_id_providers.items():
        yield name, {one["Key"]: one["Value"] for one in held.tag_list_type}


def find_made(backends: Mapping[str, Mapping[str, Any]], region: str) -> Any:
    """What moto keeps of a service, None where nothing was asked of it: an index would make it, and its EC2 has 1,300
    images, which take half a second and make every snapshot a megabyte larger."""
    return backends.get(ACCOUNT, {}).get(region)


def type_of(name: str) -> str:
    """An ARN's resource type as the API's filter has it, "ec2:instance"; those of S3, SNS and SQS have none."""
    _, _, service, _, _, rest = name.split(":", 5)
    kind = rest.replace(":", "/").partition("/")[0]
    return service if service in ("s3", "sns", "sqs") else f"{service}:{kind}"
