"""What an account's quotas refuse, and what Service Quotas itself does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from infra.rehearsal.cloud.aws.calls import ApiCall
from infra.rehearsal.cloud.aws.hosting_shapes import list_configured
from infra.rehearsal.cloud.aws.quotas import ENDPOINT_USAGE, WIDE, code_of, limit_of
from infra.rehearsal.cloud.aws.refusals.row import ExampleCall, Found, RefusalExample, RefusalRow, refusal_row
from infra.rehearsal.cloud.aws.refusals.sagemaker_finders import hosting, instance_types
from infra.rehearsal.cloud.aws.refusals.sagemaker_requests import API, SERVING, UPDATE, endpoint, model

if TYPE_CHECKING:
    from infra.rehearsal.cloud.aws.overlay.base import Surroundings

QUOTAS = "https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_"
REPORT = "https://github.com/aws-samples/aws-genai-llm-chatbot/issues/244"
WORDS = (
    "The account-level service limit '{name}' is {limit} Instances, with current utilization of {used} Instances and a "
    "request delta of {delta} Instances. Please use AWS Service Quotas to request an increase for this quota. If AWS "
    "Service Quotas is not available, contact AWS support to request an increase for this quota."
)
Instances = Mapping[str, int]
"""How many, by instance type."""


def count(pairs: Iterator[tuple[str, int]]) -> Instances:
    """Their sums."""
    found: dict[str, int] = {}
    for instance, number in pairs:
        found[instance] = found.get(instance, 0) + number
    return found


def in_use(account: Surroundings, region: str) -> Instances:
    """What the region's endpoints have, those on their way included."""

    def each() -> Iterator[tuple[str, int]]:
        for (where, _), one in hosting(account).endpoints.items():
            if where != region or one.status in ("Failed", "Deleting"):
                continue
            sides = [(one.configuration, one.variants)]
            sides += [(one.pending.configuration, one.pending.variants)] if one.pending else []
            for configuration, variants in sides:
                types = instance_types(account, region, configuration)
                yield from ((types[each.name], each.count) for each in variants if each.name in types)

    return count(each())


def find_excess(account: Surroundings, region: str, delta: Instances) -> Found:
    """The first instance type of which there would be more than the account may have."""
    used = in_use(account, region)
    for instance, more in delta.items():
        name = ENDPOINT_USAGE.format(instance=instance)
        limit = limit_of(account, "sagemaker", code_of(name))
        if more > 0 and used.get(instance, 0) + more > limit:
            return {"name": name, "limit": int(limit), "used": used.get(instance, 0), "delta": more}
    return None


def count_configured(account: Surroundings, call: ApiCall, kept: Mapping[str, int]) -> Instances:
    """What the configuration asked for starts; variants of the names `kept` with that many."""
    found = hosting(account).configurations.get((call.region, call.parameters["EndpointConfigName"]))
    return count(
        (one["InstanceType"], kept.get(one["VariantName"], one.get("InitialInstanceCount", 1)))
        for one in (list_configured(found) if found else ())
        if one.get("InstanceType")
    )


def too_many_at_first(account: Surroundings, call: ApiCall) -> Found:
    return find_excess(account, call.region, count_configured(account, call, {}))


def too_many_beside(account: Surroundings, call: ApiCall) -> Found:
    """An update starts its instances before it ends those that serve."""
    asked = call.parameters
    there = hosting(account).endpoints.get((call.region, asked["EndpointName"]))
    excluded = {each["VariantPropertyType"] for each in asked.get("ExcludeRetainedVariantProperties", ())}
    keeps = asked.get("RetainAllVariantProperties") and "DesiredInstanceCount" not in excluded
    kept = {one.name: one.count for one in there.variants} if there and keeps else {}
    return find_excess(account, call.region, count_configured(account, call, kept))


def too_many_more(account: Surroundings, call: ApiCall) -> Found:
    there = hosting(account).endpoints.get((call.region, call.parameters["EndpointName"]))
    if there is None:
        return None
    types, now = (
        instance_types(account, call.region, there.configuration),
        {one.name: one.count for one in there.variants},
    )
    return find_excess(
        account,
        call.region,
        count(
            (types[one["VariantName"]], one["DesiredInstanceCount"] - now.get(one["VariantName"], 0))
            for one in call.parameters["DesiredWeightsAndCapacities"]
            if "DesiredInstanceCount" in one and one["VariantName"] in types
        ),
    )


INSTANCE = "ml.m5.xlarge"
CODE = code_of(ENDPOINT_USAGE.format(instance=INSTANCE))
INCREASE = {"ServiceCode": "sagemaker", "QuotaCode": CODE, "DesiredValue": 3.0 * WIDE}
GRANTED = ExampleCall("servicequotas", "RequestServiceQuotaIncrease", INCREASE)


def hungry(name: str) -> ExampleCall:
    """A configuration, of a model of its name, with more instances than the account may have."""
    variant: dict[str, Any] = {"VariantName": "AllTraffic", "ModelName": name, "InstanceType": INSTANCE}
    body = {"EndpointConfigName": name, "ProductionVariants": [{**variant, "InitialInstanceCount": WIDE + 1}]}
    return ExampleCall("sagemaker", "CreateEndpointConfig", body)


def resize(number: int) -> dict[str, Any]:
    wanted = [{"VariantName": "AllTraffic", "DesiredInstanceCount": number}]
    return {"EndpointName": "shop", "DesiredWeightsAndCapacities": wanted}


def limit_row(operation: str, when: str, source: str, label: Any, example: Any, find: Any) -> RefusalRow:
    return refusal_row(
        "sagemaker", operation, when, "ResourceLimitExceeded", WORDS, source, label, example, find
    )


ROWS = (
    limit_row(
        "CreateEndpoint",
        "its instances are more than the account's quota leaves",
        REPORT,
        "recorded",
        RefusalExample(
            before=(model("one"), hungry("one")),
            refused=endpoint("shop", "one").parameters,
            between=(GRANTED,),
        ),
        too_many_at_first,
    ),
    limit_row(
        "UpdateEndpoint",
        "the new instances, beside those that serve, are more than the account's quota leaves",
        f"{API}UpdateEndpoint.html",
        "documented",
        RefusalExample(before=(*SERVING, model("two"), hungry("two")), refused=UPDATE, between=(GRANTED,)),
        too_many_beside,
    ),
    limit_row(
        "UpdateEndpointWeightsAndCapacities",
        "the instances asked for are more than the account's quota leaves",
        f"{API}UpdateEndpointWeightsAndCapacities.html",
        "documented",
        RefusalExample(before=SERVING, refused=resize(WIDE + 1), passes=resize(WIDE)),
        too_many_more,
    ),
    refusal_row(
        "servicequotas",
        "GetServiceQuota",
        "the account has no value of its own for it",
        "NoSuchResourceException",
        "The request failed because the specified service does not exist.",
        f"{QUOTAS}GetServiceQuota.html",
        "documented",
        RefusalExample(refused={"ServiceCode": "sagemaker", "QuotaCode": CODE}, between=(GRANTED,)),
    ),
    refusal_row(
        "servicequotas",
        "RequestServiceQuotaIncrease",
        "the value asked for is not above the one that there is",
        "IllegalArgumentException",
        "You must provide a quota value that is greater than the current quota value.",
        f"{QUOTAS}RequestServiceQuotaIncrease.html",
        "documented",
        RefusalExample(refused={**INCREASE, "DesiredValue": 1.0}, passes=INCREASE),
        lambda account, call: (
            {}
            if call.parameters["DesiredValue"]
            <= limit_of(account, call.parameters["ServiceCode"], call.parameters["QuotaCode"])
            else None
        ),
    ),
)
