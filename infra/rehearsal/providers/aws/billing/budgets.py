"""AWS Budgets: a budget of costs, with who is told when."""

from __future__ import annotations

from typing import Any

from infra.rehearsal.engine.provider import Values
from infra.rehearsal.providers.aws.property_types import items, number, text, unordered_list
from infra.rehearsal.providers.aws.resource import (
    Reading,
    ResourceCall,
    ResourceType,
    Update,
    tagger,
)
from infra.tags import tag_map

SOURCE = "internal/service/budgets/budget.go"
SUBSCRIBERS = {"EMAIL": "subscriberEmailAddresses", "SNS": "subscriberSnsTopicArns"}


def _where(call: ResourceCall) -> dict[str, str]:
    account, _, name = call.id.partition(":")
    return {"AccountId": account, "BudgetName": name}


def _budget(call: ResourceCall) -> Values:
    inputs = call.inputs
    return {
        "BudgetName": inputs["name"],
        "BudgetType": inputs["budgetType"],
        "TimeUnit": inputs["timeUnit"],
        "BudgetLimit": {"Amount": inputs["limitAmount"], "Unit": inputs["limitUnit"]},
    }


def _notices(inputs: Values) -> list[tuple[Values, list[Values]]]:
    """Each notification with its subscribers, in the API's words."""
    return [
        (
            {
                "ComparisonOperator": one["comparisonOperator"],
                "NotificationType": one["notificationType"],
                "Threshold": float(one["threshold"]),
                "ThresholdType": one["thresholdType"],
            },
            [
                {"SubscriptionType": kind, "Address": address}
                for kind, key in SUBSCRIBERS.items()
                for address in one.get(key) or ()
            ],
        )
        for one in inputs.get("notifications") or ()
    ]


def _create(call: ResourceCall) -> str:
    notices = [{"Notification": one, "Subscribers": told} for one, told in _notices(call.inputs)]
    call.api.create_budget(
        AccountId=call.account.id,
        Budget=_budget(call),
        NotificationsWithSubscribers=notices,
        ResourceTags=call.pairs(),
    )
    return f"{call.account.id}:{call.inputs['name']}"


def _arn(call: ResourceCall) -> str:
    account, _, name = call.id.partition(":")
    return f"arn:aws:budgets::{account}:budget/{name}"


def _read(call: ResourceCall) -> Reading:
    budget = call.api.describe_budget(**_where(call))["Budget"]
    limit = budget["BudgetLimit"]
    answer = {**budget, "LimitAmount": limit["Amount"], "LimitUnit": limit["Unit"]}
    told = call.api.describe_notifications_for_budget(**_where(call))["Notifications"]
    answer["Notifications"] = [{**one, **_read_subscribers(call, one)} for one in told]
    tags = call.api.list_tags_for_resource(ResourceARN=_arn(call)).get("ResourceTags")
    return Reading(answer, {"arn": _arn(call)}, tag_map(tags))


def _read_subscribers(call: ResourceCall, notice: Values) -> dict[str, list[str]]:
    asked = {
        key: notice[key] for key in ("ComparisonOperator", "NotificationType", "Threshold", "ThresholdType")
    }
    found: list[dict[str, Any]] = call.api.describe_subscribers_for_notification(
        **_where(call), Notification=asked
    )["Subscribers"]
    return {
        f"{key[0].upper()}{key[1:]}": [one["Address"] for one in found if one["SubscriptionType"] == kind]
        for kind, key in SUBSCRIBERS.items()
    }


def _notify(call: ResourceCall) -> None:
    """A notification with others to tell is another one: the API changes one subscriber at a time."""
    before, wanted = _notices(call.olds), _notices(call.inputs)
    for one, told in before:
        if (one, told) not in wanted:
            call.api.delete_notification(**_where(call), Notification=one)
    for one, told in wanted:
        if (one, told) not in before:
            call.api.create_notification(**_where(call), Notification=one, Subscribers=told)


BUDGET = ResourceType(
    type="aws:budgets/budget:Budget",
    service="budgets",
    properties={
        "name": text(api="BudgetName", replaces=True, source=SOURCE),
        "budgetType": text(required=True),
        "timeUnit": text(required=True),
        "limitAmount": text(required=True),
        "limitUnit": text(required=True),
        "notifications": unordered_list(
            {
                "comparisonOperator": text(required=True),
                "notificationType": text(required=True),
                "threshold": number(required=True),
                "thresholdType": text(required=True),
                **{key: items() for key in SUBSCRIBERS.values()},
            }
        ),
    },
    outputs=("arn",),
    identity=("name",),
    name="name",
    name_form=("", 100),
    find=lambda call: [f"{call.account.id}:{call.inputs['name']}"],
    create=_create,
    read=_read,
    changes=(
        Update(
            ("budgetType", "timeUnit", "limitAmount", "limitUnit"),
            lambda call: call.api.update_budget(AccountId=_where(call)["AccountId"], NewBudget=_budget(call)),
        ),
        Update(("notifications",), _notify),
    ),
    delete=lambda call: call.api.delete_budget(**_where(call)),
    tag=tagger("tag_resource", "untag_resource", "ResourceARN", tags="ResourceTags", keys="ResourceTagKeys"),
    gone=("NotFoundException",),
)

RESOURCES = (BUDGET,)
