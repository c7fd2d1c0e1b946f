"""AWS Budgets over moto: what moto keeps and does not tell, changes of a budget, and tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from infra.rehearsal.cloud.addresses import ACCOUNT
from infra.rehearsal.cloud.aws.overlay.base import ApiCall, ApiError, HttpResponse, Overlay, emulates

if TYPE_CHECKING:
    from infra.rehearsal.cloud.aws.overlay.base import Surroundings

UPDATED = "LastUpdatedTime"


class Budgets(Overlay):
    """Nothing is spent here, so nobody is told anything. Tags are in `account.state["budgets"]`, by ARN."""

    def __init__(self, account: Surroundings) -> None:
        super().__init__(account)
        self.tags: dict[str, dict[str, str]] = account.state.setdefault("budgets", {})

    @emulates("CreateBudget", "documented", "API_budgets_CreateBudget")
    def create_budget(self, call: ApiCall) -> HttpResponse:
        """With its tags."""
        answer = self.moto(call)
        if answer.ok:
            name = call.parameters["Budget"]["BudgetName"]
            self.tags[arn_of(name)] = {
                one["Key"]: one["Value"] for one in call.parameters.get("ResourceTags", ())
            }
        return answer

    @emulates("UpdateBudget", "documented", "API_budgets_UpdateBudget")
    def update_budget(self, call: ApiCall) -> Mapping[str, Any]:
        """All of it but its notifications; its period stays where none is given."""
        new = call.parameters["NewBudget"]
        held = find_budget(new["BudgetName"])
        kept = {key: held.budget[key] for key in ("TimePeriod", UPDATED) if key in held.budget}
        held.budget = {**kept, **new}
        return {}

    @emulates("DeleteBudget", "documented", "API_budgets_DeleteBudget")
    def delete_budget(self, call: ApiCall) -> HttpResponse:
        """Its notifications and tags go with it."""
        answer = self.moto(call)
        if answer.ok:
            self.tags.pop(arn_of(call.parameters["BudgetName"]), None)
        return answer

    @emulates(
        "DescribeSubscribersForNotification", "documented", "API_budgets_DescribeSubscribersForNotification"
    )
    def describe_subscribers(self, call: ApiCall) -> Mapping[str, Any]:
        """Of one notification, which its own words tell from others."""
        asked = call.parameters["Notification"]
        for notice in find_budget(call.parameters["BudgetName"]).notifications:
            if all(notice.details.get(key) == value for key, value in asked.items()):
                return {"Subscribers": list(notice.subscribers)}
        raise ApiError("NotFoundException", "Unable to get subscribers - the notification doesn't exist.")

    @emulates("ListTagsForResource TagResource UntagResource", "documented", "API_budgets_TagResource")
    def tag(self, call: ApiCall) -> Mapping[str, Any]:
        """Of a budget, by its ARN."""
        asked = call.parameters
        held = self.tags.get(asked["ResourceARN"])
        if held is None:
            raise ApiError("NotFoundException", f"Unable to find {asked['ResourceARN']}")
        if call.operation == "TagResource":
            held |= {one["Key"]: one["Value"] for one in asked["ResourceTags"]}
        if call.operation == "UntagResource":
            for key in asked["ResourceTagKeys"]:
                held.pop(key, None)
        if call.operation != "ListTagsForResource":
            return {}
        return {"ResourceTags": [{"Key": key, "Value": held[key]} for key in sorted(held)]}


def arn_of(name: str) -> str:
    return f"arn:aws:budgets::{ACCOUNT}:budget/{name}"


def find_budget(name: str) -> Any:
    """moto's own. Raises ApiError where there is none."""
    from moto.budgets.models import budgets_backends

    held = budgets_backends[ACCOUNT]["aws"].budgets[ACCOUNT].get(name)
    if held is None:
        raise ApiError("NotFoundException", f"Unable to get budget: {name} - the budget doesn't exist.")
    return held
