"""A budget of an account's costs, and who is told before it is spent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi

from infra.component import Component, require
from infra.spec import BudgetSpec
from infra.tags import Tags

if TYPE_CHECKING:
    from pulumi_aws import budgets


@dataclass(frozen=True, kw_only=True)
class SpendingAlertResources:
    """What a SpendingAlert is made of."""

    budget: budgets.Budget


class SpendingAlert(Component):
    """Of all that the account spends in a calendar month, in US dollars: a budget cuts nothing off.

    Source: https://docs.aws.amazon.com/cost-management/latest/userguide/budgets-managing-costs.html
    """

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        budget_name: str,
        wanted: BudgetSpec,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        told = bool(wanted.emails or wanted.topics)
        require("SpendingAlert", {"emails or topics: somebody must be told": not told})
        super().__init__(name, project_tags=project_tags, opts=opts)
        self.resources = SpendingAlertResources(budget=self._create(budget_name, wanted))
        self.register_outputs({})

    def _create(self, budget_name: str, wanted: BudgetSpec) -> budgets.Budget:
        from pulumi_aws import budgets

        return budgets.Budget(
            self.name,
            name=budget_name,
            budget_type="COST",
            time_unit="MONTHLY",
            limit_amount=f"{wanted.usd:.1f}",
            limit_unit="USD",
            notifications=[notify(wanted, share) for share in wanted.alert_at],
            tags=self.tags(),
            opts=self.options(),
        )


def notify(wanted: BudgetSpec, share: float) -> budgets.BudgetNotificationArgs:
    """At a share of the month's budget, in percent, once it is spent."""
    from pulumi_aws import budgets

    whom: dict[str, Any] = {}
    if wanted.emails:
        whom["subscriber_email_addresses"] = list(wanted.emails)
    if wanted.topics:
        whom["subscriber_sns_topic_arns"] = list(wanted.topics)
    return budgets.BudgetNotificationArgs(
        comparison_operator="GREATER_THAN",
        notification_type="ACTUAL",
        threshold=share,
        threshold_type="PERCENTAGE",
        **whom,
    )
