"""What an account asks of everything, on the local cloud: put on what stands without making it anew, and taken off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import programs
import pytest

from infra.rehearsal.cloud.client import LocalCloud
from modelpack.home import Home

pytestmark = pytest.mark.slow

NAME = "shop-local"
BASE = {"service": "shop", "bucket": "shop-local-123456789012"}
BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"
GOVERNED = {
    "tags": {"team": "shop"},
    "permissions_boundary": BOUNDARY,
    "monthly_budget": {"usd": 500.0, "alert_at": [80.0, 100.0], "emails": ["ml@shop.example"]},
    "pipeline": {"issuer": "github", "repository": "org/shop", "environment": "prod"},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[programs.Place]:
    folder = tmp_path_factory.mktemp("governance")
    cloud = LocalCloud(Home(folder / "home", folder / "cache"), host=programs.SPEAKING)
    cloud.ensure()
    yield programs.Place(cloud, folder)
    cloud.stop()


def roles(place: programs.Place) -> dict[str, Any]:
    iam = place.client("iam")
    return {
        one["RoleName"]: iam.get_role(RoleName=one["RoleName"])["Role"] for one in iam.list_roles()["Roles"]
    }


def test_governance_comes_and_goes_in_place(place: programs.Place) -> None:
    place.stack("base", NAME, BASE).up()
    serving = roles(place)["shop-local-serving"]["RoleId"]

    stack = place.stack("base", NAME, {**BASE, **GOVERNED})
    planned = programs.changes(stack)
    assert {name for name, what in planned.items() if what == "create"} == {
        *("pipeline", "pipeline-issuer", "budget"),
        *(f"pipeline-{task}{end}" for task in ("plan", "deploy") for end in ("", "-policy")),
    }
    assert set(planned.values()) == {"create", "update"}
    stack.up()
    made = roles(place)
    assert set(made) == {"shop-local-serving", "ecomdeploy-shop-local-plan", "ecomdeploy-shop-local-deploy"}
    assert {one["PermissionsBoundary"]["PermissionsBoundaryArn"] for one in made.values()} == {BOUNDARY}
    assert all({"Key": "team", "Value": "shop"} in one["Tags"] for one in made.values())
    assert made["shop-local-serving"]["RoleId"] == serving, "the role that serves is the same"
    (issuer,) = place.client("iam").list_open_id_connect_providers()["OpenIDConnectProviderList"]
    assert issuer["Arn"].endswith("oidc-provider/token.actions.githubusercontent.com")
    trust = made["ecomdeploy-shop-local-deploy"]["AssumeRolePolicyDocument"]["Statement"][0]
    assert trust["Principal"] == {"Federated": issuer["Arn"]}

    budgets, mine = (
        place.client("budgets"),
        {"AccountId": "123456789012", "BudgetName": "ecomdeploy-shop-local"},
    )
    assert float(budgets.describe_budget(**mine)["Budget"]["BudgetLimit"]["Amount"]) == 500
    notices = budgets.describe_notifications_for_budget(**mine)["Notifications"]
    assert [one["Threshold"] for one in notices] == [80, 100]
    told = budgets.describe_subscribers_for_notification(**mine, Notification=notices[0])["Subscribers"]
    assert told == [{"SubscriptionType": "EMAIL", "Address": "ml@shop.example"}]

    before = place.mutating()
    stack.refresh()
    assert programs.changes(stack) == {}
    stack.up()
    assert place.mutating() == before

    place.stack("base", NAME, BASE).up()
    left = roles(place)
    assert set(left) == {"shop-local-serving"}
    assert "PermissionsBoundary" not in left["shop-local-serving"]
    assert left["shop-local-serving"]["RoleId"] == serving
    assert not any(one["Key"] == "team" for one in left["shop-local-serving"]["Tags"])
    assert place.client("iam").list_open_id_connect_providers()["OpenIDConnectProviderList"] == []
    assert budgets.describe_budgets(AccountId="123456789012")["Budgets"] == []
